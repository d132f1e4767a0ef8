//! Recording into a sampler must not allocate: it runs between two measured connections.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use results::{Sampler, Unit};

struct Counting;

thread_local! {
    // Of this thread alone: the test harness allocates on others.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is handed unchanged to the system allocator; counting touches no memory of its own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises about `layout` are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System.alloc` with this `layout`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn recording_never_allocates() {
    let mut sampler = Sampler::new().unwrap();
    let before = ALLOCATIONS.get();
    for step in 0..50_000_u64 {
        sampler.record(step.wrapping_mul(6_364_136_223_846_793_005));
    }
    let after = ALLOCATIONS.get();
    assert_eq!(after - before, 0);
    let metric = sampler.into_metric("connect", "last", Unit::Ns).unwrap();
    assert_eq!(metric.data.count(), 50_000);
}
