//! The area that a function belongs to: in user space its program or library; in the kernel its
//! module, or a guess from how its name begins.
//!
//! `/proc/kallsyms` names no source files, and the kernel's own naming is regular enough for a
//! table to read by.

/// What user space is called among functions.
pub const USER: &str = "(user space)";

/// One area a line, and the beginnings of its functions' names, leading underscores aside. The
/// first that fits decides.
const AREAS: &str = "\
starting and ending programs: do_execve bprm_ begin_new_exec exec_ load_elf elf_ search_binary setup_new_exec \
    setup_arg_pages shift_arg_pages create_elf copy_process copy_string copy_mm copy_page_range dup_mm dup_mmap \
    dup_task dup_fd kernel_clone mm_init mmput exit_mm do_exit do_group_exit exit_files exit_notify wait_task release_task
TCP and sockets: tcp_ inet sock_ sk_ lock_sock release_sock secure_tcp
netfilter core: nf_ xt_ ipt_
IP and routing: ip_ fib_ rt_ ipv4_ dst_ neigh_ arp_ icmp_ raw_
packets and devices: skb_ alloc_skb kfree_skb consume_skb build_skb napi_ net_ netif_ dev_ process_backlog \
    eth_ qdisc_ pskb copy_skb csum_ nla_ netlink_
system call entry: x64_sys do_syscall entry_ syscall_ sys_ exit_to_user move_addr
interrupts and timers: irq do_softirq raise_softirq handle_softirqs hrtimer timer_ mod_timer tick_ ktime \
    clockevents sysvec_ asm_ apic lapic run_timer call_timer update_process_times native_write_msr
scheduler: schedule sched_ pick_next enqueue_ dequeue_ update_ try_to_wake ttwu select_task switch_ \
    prepare_to_wait finish_ wake_ set_next put_prev check_preempt wakeup_preempt place_entity default_wake \
    autoremove_wake woken_wake reweight
locks and RCU: raw_spin rcu_ mutex_ local_bh queued_spin down_ up_ srcu_ call_rcu rwsem
memory: kmalloc kmem_ kfree slab alloc_ free_ get_page mem clear_page page_ handle_mm vm_ vma mas_ mtree_ \
    unmap_ pte_ filemap lru_ rmqueue mod_memcg exc_page_fault do_user_addr kvmalloc vmalloc put_page folio_ \
    obj_cgroup pcpu_ next_uptodate
hashing and randomness: siphash jhash get_random chacha blake2 crng prandom extract_ hsiphash
files and wakeups: ep_ epoll fput fget d_ file vfs_ close_ poll security_ ksys_ fd_ iput dput dentry inode \
    evict task_work
mitigations: x86_indirect x86_return srso retbleed";

/// What is called so is no instructions: the guest had nothing to run, and its clock moved on to
/// the next timer.
pub const WAITING: &str = "(waiting)";

/// How areas of user space begin.
const USER_AREA: &str = "user space: ";

/// The area of a function; what is none (its name is in brackets) is an area of its own.
pub(super) fn area(function: &str, module: Option<&str>) -> String {
    if function == USER {
        return format!("{USER_AREA}{}", module.unwrap_or("of no file"));
    }
    if let Some(module) = module {
        return format!("module {module}");
    }
    if function.starts_with('(') {
        return function.to_owned();
    }
    let bare = function.trim_start_matches('_');
    let fits = |begins: &str| begins.split_ascii_whitespace().any(|begin| bare.starts_with(begin));
    let mut areas = AREAS.lines().filter_map(|line| line.split_once(": "));
    let known = areas.find(|(_, begins)| fits(begins));
    known.map_or("other kernel functions", |(area, _)| area).to_owned()
}

/// Whether an area is one of user space.
pub(super) fn is_of_user(area: &str) -> bool {
    area.starts_with(USER_AREA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_grouped_by_module_or_name() {
        assert_eq!(area("ipt_do_table", Some("ip_tables")), "module ip_tables");
        assert_eq!(area("__tcp_push", None), "TCP and sockets");
        assert_eq!(area("(user space)", Some("nft")), "user space: nft");
        assert_eq!(area("(user space)", None), "user space: of no file");
        assert_eq!(area("(no symbol)", None), "(no symbol)");
        assert_eq!(area("load_elf_binary", None), "starting and ending programs");
        assert!(is_of_user("user space: nft") && !is_of_user("scheduler"));
        assert_eq!(area("zap", None), "other kernel functions");
    }
}
