/*
 * TCG plugin of QEMU: counts executed guest instructions by translated block, inside windows that the guest marks.
 *
 * Every block adds its length to a counter by inline code, so the guest runs at nearly full speed and its clock is not
 * touched. The guest marks where a window begins and ends by a NOP with a magic operand (`lab/src/guest/mark.rs`); at
 * each mark the growth of all counters is booked. Which function or program an address belongs to is not known here.
 *
 * Arguments: out=FILE, and keep_region=R,keep_min=N,keep_max=N to keep only windows whose region R took N to N
 * instructions. The format of FILE is read by `lab/src/guest/profile.rs`.
 *
 * QEMU's header is in no package, so the few declarations stand here. Interface version 1 (QEMU 4.2 to 8.2) adds to a
 * plain address; from version 2 on, to a "scoreboard"; version 3 (QEMU 9.1) copies an instruction's bytes where earlier
 * ones hand out a pointer (`include/qemu/qemu-plugin.h`, QEMU 7.2 and 10.2). Both are weak, and the one that is there is
 * used.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define WEAK __attribute__((weak))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_scoreboard;
struct plugin_u64 {
    struct qemu_plugin_scoreboard *score;
    size_t offset;
};
enum { CALLBACK_NO_REGISTERS = 0, INLINE_ADD_U64 = 0 };
typedef void (*translated_fn)(uint64_t id, struct qemu_plugin_tb *block);
typedef void (*executed_fn)(unsigned int vcpu, void *data);
typedef void (*exit_fn)(uint64_t id, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, translated_fn callback);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, executed_fn, int flags, void *data);
void qemu_plugin_register_atexit_cb(uint64_t id, exit_fn callback, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t index);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
void *qemu_plugin_insn_haddr(const struct qemu_plugin_insn *);
/* Version 1. */
WEAK void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int op, void *counter, uint64_t value);
/* Version 2 and later. */
WEAK void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *, int op, struct plugin_u64, uint64_t);
WEAK struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t element_bytes);
WEAK void *qemu_plugin_scoreboard_find(struct qemu_plugin_scoreboard *, unsigned int vcpu);
/* Version 1: the pointer is the result. Version 3: the bytes are copied and the result is their number. */
uintptr_t qemu_plugin_insn_data(const struct qemu_plugin_insn *, void *to, size_t bytes);

EXPORT int qemu_plugin_version = 1;

/* The loader looks at the version before it calls anything else. */
__attribute__((constructor)) static void choose_version(void)
{
    if (qemu_plugin_scoreboard_new)
        qemu_plugin_version = 3;
}

/* nopl MAGIC|code(%rax): 0f 1f 80 and four bytes, little endian. The upper three are "VIP" backwards. */
static const uint8_t MARK[] = {0x0f, 0x1f, 0x80};
static const uint8_t MARK_MAGIC[] = {'V', 'I', 'P'};
enum { MARK_BYTES = 7, MARK_CODE_AT = 3 };
enum { CODE_KEEP = 0x10, CODE_BEGIN = 0x20, CODE_DROP = 0x21 };
/*
 * In regions from KERNEL_ONLY on, the program that marks only waits. What user space executes there is booked, but is no part of a
 * sample's sums: whether it is that program's or another's is not known here.
 */
enum { REGIONS = 10, KERNEL_ONLY = 8, LABELS = 16, OUTSIDE = 0 };

/*
 * Addresses of user space differ from process to process, so its blocks are known by where they lie in the emulator's memory, one page for
 * all processes that run a file. Those that lie nowhere share counter 0. The first bytes of each tell which file it is of.
 */
enum { BLOCKS_MAX = 1 << 19, SLOTS = 1 << 20, NOWHERE = 0, CODE_BYTES = 24 };
#define KERNEL_FIRST (UINT64_C(1) << 63)

static uint64_t addresses[BLOCKS_MAX];
static uint8_t code[BLOCKS_MAX][CODE_BYTES];
static uint8_t code_lengths[BLOCKS_MAX];
static uint32_t slots[SLOTS];
static uint32_t block_count = 1;
static bool overflowed;

static uint64_t *plain_counters;
static struct qemu_plugin_scoreboard *scoreboard;

static uint64_t *seen;
static uint64_t *pending[REGIONS];
static uint64_t *totals[LABELS][REGIONS];
/* How often the guest halted, and so waited, since `begin`: its clock moves on then, and nothing is executed. */
static uint64_t halts[REGIONS];
static unsigned region = OUTSIDE;

static uint64_t keep_region, keep_min, keep_max = UINT64_MAX;
static FILE *out;

static uint64_t *counters(void)
{
    return scoreboard ? qemu_plugin_scoreboard_find(scoreboard, 0) : plain_counters;
}

static uint64_t *new_counters(void)
{
    uint64_t *made = calloc(BLOCKS_MAX, sizeof *made);
    if (!made) {
        fprintf(stderr, "profile: no memory for %d counters\n", (int)BLOCKS_MAX);
        exit(1);
    }
    return made;
}

/* The counter of a block. One address may be translated more than once, and cut short by the instruction clock. */
static uint32_t counter_of(uint64_t address)
{
    if (address == 0)
        return NOWHERE;
    uint64_t slot = (address * UINT64_C(0x9e3779b97f4a7c15)) >> 44;
    while (slots[slot] != 0) {
        if (addresses[slots[slot]] == address)
            return slots[slot];
        slot = (slot + 1) % SLOTS;
    }
    if (block_count == BLOCKS_MAX) {
        overflowed = true;
        return NOWHERE;
    }
    addresses[block_count] = address;
    slots[slot] = block_count;
    return block_count++;
}

/* Books what has been executed since the last mark, or forgets it. */
static void settle(bool forget)
{
    const uint64_t *now = counters();
    uint64_t *booked = pending[region];
    forget = forget || region == OUTSIDE;
    for (uint32_t at = 0; at < block_count; at++) {
        if (!forget)
            booked[at] += now[at] - seen[at];
        seen[at] = now[at];
    }
}

static void begin(void)
{
    for (unsigned of = OUTSIDE + 1; of < REGIONS; of++)
        memset(pending[of], 0, block_count * sizeof *pending[of]);
    memset(halts, 0, sizeof halts);
    region = OUTSIDE;
}

static uint64_t sum_of(unsigned of)
{
    uint64_t sum = 0;
    for (uint32_t at = 0; at < block_count; at++)
        if (of < KERNEL_ONLY || addresses[at] >= KERNEL_FIRST)
            sum += pending[of][at];
    return sum;
}

/* Adds what is booked since `begin` to a label: one sample. */
static void keep(unsigned label)
{
    uint64_t filtered = keep_region < REGIONS ? sum_of(keep_region) : 0;
    bool kept = filtered >= keep_min && filtered <= keep_max;
    fprintf(out, "sample %u %d", label, kept);
    for (unsigned of = OUTSIDE + 1; of < REGIONS; of++)
        fprintf(out, " %" PRIu64, sum_of(of));
    for (unsigned of = OUTSIDE + 1; of < REGIONS; of++)
        fprintf(out, " %" PRIu64, halts[of]);
    fputc('\n', out);
    for (unsigned of = OUTSIDE + 1; kept && of < REGIONS; of++) {
        if (!totals[label][of])
            totals[label][of] = new_counters();
        for (uint32_t at = 0; at < block_count; at++)
            totals[label][of][at] += pending[of][at];
    }
    begin();
}

static void marked(unsigned int vcpu, void *data)
{
    (void)vcpu;
    unsigned code = (unsigned)(uintptr_t)data;
    settle(code == CODE_DROP);
    if (code < REGIONS)
        region = code;
    else if (code >= CODE_KEEP && code < CODE_KEEP + LABELS)
        keep(code - CODE_KEEP);
    else if (code == CODE_BEGIN)
        begin();
}

/* The first bytes of an instruction. */
static void copy_bytes(const struct qemu_plugin_insn *instruction, uint8_t *to, size_t bytes)
{
    uintptr_t given = qemu_plugin_insn_data(instruction, to, bytes);
    if (!scoreboard)
        memcpy(to, (const void *)given, bytes);
}

static void halted(unsigned int vcpu, void *data)
{
    (void)vcpu;
    (void)data;
    halts[region]++;
}

/* hlt is f4; mwait is 0f 01 c9, and an emulated processor that has no other halts then. */
static void look_for_halt(struct qemu_plugin_insn *instruction)
{
    static const uint8_t HLT[] = {0xf4}, MWAIT[] = {0x0f, 0x01, 0xc9};
    uint8_t bytes[sizeof MWAIT];
    size_t size = qemu_plugin_insn_size(instruction);
    if (size > sizeof bytes)
        return;
    copy_bytes(instruction, bytes, size);
    if ((size == sizeof HLT && !memcmp(bytes, HLT, size)) || (size == sizeof MWAIT && !memcmp(bytes, MWAIT, size)))
        qemu_plugin_register_vcpu_insn_exec_cb(instruction, halted, CALLBACK_NO_REGISTERS, NULL);
}

static void look_for_mark(struct qemu_plugin_insn *instruction)
{
    uint8_t bytes[MARK_BYTES];
    if (qemu_plugin_insn_size(instruction) != MARK_BYTES)
        return;
    copy_bytes(instruction, bytes, sizeof bytes);
    if (memcmp(bytes, MARK, sizeof MARK) || memcmp(bytes + MARK_CODE_AT + 1, MARK_MAGIC, sizeof MARK_MAGIC))
        return;
    uintptr_t code = bytes[MARK_CODE_AT];
    qemu_plugin_register_vcpu_insn_exec_cb(instruction, marked, CALLBACK_NO_REGISTERS, (void *)code);
}

/* Keeps how a block begins, unless more of it is known. */
static void keep_code(uint32_t counter, const struct qemu_plugin_tb *block)
{
    uint8_t bytes[CODE_BYTES];
    size_t length = 0;
    for (size_t at = 0; at < qemu_plugin_tb_n_insns(block) && length < CODE_BYTES; at++) {
        const struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, at);
        size_t size = qemu_plugin_insn_size(instruction), room = CODE_BYTES - length;
        size = size < room ? size : room;
        copy_bytes(instruction, bytes + length, size);
        length += size;
    }
    if (length > code_lengths[counter]) {
        memcpy(code[counter], bytes, length);
        code_lengths[counter] = length;
    }
}

static void translated(uint64_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    uint64_t address = qemu_plugin_tb_vaddr(block);
    size_t length = qemu_plugin_tb_n_insns(block);
    bool is_user = address < KERNEL_FIRST;
    if (is_user)
        address = (uintptr_t)qemu_plugin_insn_haddr(qemu_plugin_tb_get_insn(block, 0));
    uint32_t counter = counter_of(address);
    if (is_user && counter != NOWHERE)
        keep_code(counter, block);
    if (scoreboard) {
        struct plugin_u64 entry = {scoreboard, counter * sizeof(uint64_t)};
        qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(block, INLINE_ADD_U64, entry, length);
    } else {
        qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, &plain_counters[counter], length);
    }
    for (size_t at = 0; at < length; at++)
        (is_user ? look_for_mark : look_for_halt)(qemu_plugin_tb_get_insn(block, at));
}

static void finished(uint64_t id, void *data)
{
    (void)id;
    (void)data;
    for (unsigned label = 0; label < LABELS; label++)
        for (unsigned of = OUTSIDE + 1; of < REGIONS; of++)
            for (uint32_t at = 0; totals[label][of] && at < block_count; at++)
                if (totals[label][of][at])
                    fprintf(out, "count %u %u %" PRIx64 " %" PRIu64 "\n", label, of, addresses[at], totals[label][of][at]);
    for (uint32_t at = 0; at < block_count; at++) {
        if (!code_lengths[at])
            continue;
        fprintf(out, "code %" PRIx64 " ", addresses[at]);
        for (unsigned byte = 0; byte < code_lengths[at]; byte++)
            fprintf(out, "%02x", code[at][byte]);
        fputc('\n', out);
    }
    fprintf(out, "end %d\n", overflowed);
    fclose(out);
}

static bool parse(const char *argument)
{
    static const struct { const char *name; uint64_t *value; } numbers[] = {
        {"keep_region=", &keep_region}, {"keep_min=", &keep_min}, {"keep_max=", &keep_max}};
    if (!strncmp(argument, "out=", 4))
        return (out = fopen(argument + 4, "w")) != NULL;
    for (size_t at = 0; at < sizeof numbers / sizeof *numbers; at++) {
        size_t length = strlen(numbers[at].name);
        if (!strncmp(argument, numbers[at].name, length)) {
            *numbers[at].value = strtoull(argument + length, NULL, 10);
            return true;
        }
    }
    return false;
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int count, char **arguments)
{
    (void)info;
    for (int at = 0; at < count; at++) {
        if (!parse(arguments[at])) {
            fprintf(stderr, "profile: cannot use argument %s\n", arguments[at]);
            return 1;
        }
    }
    if (!out) {
        fprintf(stderr, "profile: out=FILE is missing\n");
        return 1;
    }
    if (qemu_plugin_scoreboard_new)
        scoreboard = qemu_plugin_scoreboard_new(BLOCKS_MAX * sizeof(uint64_t));
    else
        plain_counters = new_counters();
    seen = new_counters();
    for (unsigned of = 0; of < REGIONS; of++)
        pending[of] = new_counters();
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, finished, NULL);
    return 0;
}
