// Connect-time translation: a socket that dials a Service is given an Endpoint before any packet is
// made, so that no packet is ever translated. What it dialled is remembered by its cookie, and put
// back where the kernel tells it whom it talks to.
//
// Built by build-object, which says with what; the object beside it is what is loaded, and a test
// builds it again and compares. Helpers and structures are those of the kernel's user interface
// (include/uapi/linux/bpf.h, Linux 6.1).

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))

enum { MAP_HASH = 1, MAP_LRU_HASH = 9, NO_PREALLOC = 1, ANY = 0 };
enum { REFUSE = 0, GO_ON = 1 };

struct map {
	u32 type, key_bytes, value_bytes, entries_max, flags;
};

// struct bpf_sock_addr; addresses and ports are in network order.
struct sock_addr {
	u32 user_family, user_ip4, user_ip6[4], user_port, family, type, protocol;
	u32 msg_src_ip4, msg_src_ip6[4];
};

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static u32 (*random)(void) = (void *)7;
static u64 (*socket_cookie)(void *context) = (void *)46;
static u64 (*netns_cookie)(void *context) = (void *)122;

// IPv4 as ::ffff:0:0/96.
struct place {
	u32 address[4];
	u16 port, protocol;
};

struct key {
	struct place place;
	u32 scope;
};

struct service {
	u32 id, endpoints;
};

struct slot {
	u32 service, number;
};

struct known {
	u64 socket;
	struct place endpoint;
	u32 pad;
};

// Network namespaces whose sockets are translated, by cookie, and the scope of each: namespaces of
// one node have the same Services.
struct map SECTION("maps") namespaces = { MAP_HASH, sizeof(u64), sizeof(u32), 1 << 16, NO_PREALLOC };
struct map SECTION("maps")
	services = { MAP_HASH, sizeof(struct key), sizeof(struct service), 1 << 18, NO_PREALLOC };
struct map SECTION("maps")
	endpoints = { MAP_HASH, sizeof(struct slot), sizeof(struct place), 1 << 20, NO_PREALLOC };
// What sockets dialled; the least used are forgotten.
struct map SECTION("maps")
	dialled = { MAP_LRU_HASH, sizeof(struct known), sizeof(struct place), 1 << 16, 0 };

// Puts an Endpoint in the place of a Service, if it is one.
INLINE int choose(struct sock_addr *context, struct place *place)
{
	u64 namespace = netns_cookie(context);
	u32 *scope = lookup(&namespaces, &namespace);
	if (!scope)
		return GO_ON;
	struct key key = { *place, *scope };
	struct service *service = lookup(&services, &key);
	if (!service)
		return GO_ON;
	if (!service->endpoints)
		return REFUSE;
	struct slot slot = { service->id, random() % service->endpoints };
	struct place *endpoint = lookup(&endpoints, &slot);
	if (!endpoint)
		return REFUSE;
	struct known known = { socket_cookie(context), *endpoint, 0 };
	update(&dialled, &known, place, ANY);
	*place = *endpoint;
	return GO_ON;
}

// Puts back what the socket dialled, if it was a Service.
INLINE void recall(struct sock_addr *context, struct place *place)
{
	struct known known = { socket_cookie(context), *place, 0 };
	struct place *service = lookup(&dialled, &known);
	if (service)
		*place = *service;
}

INLINE struct place ipv4(struct sock_addr *context)
{
	struct place place = { { 0, 0, 0xffff0000, context->user_ip4 }, context->user_port,
			       context->protocol };
	return place;
}

INLINE struct place ipv6(struct sock_addr *context)
{
	struct place place = { { context->user_ip6[0], context->user_ip6[1], context->user_ip6[2],
				 context->user_ip6[3] },
			       context->user_port, context->protocol };
	return place;
}

INLINE void write_ipv4(struct sock_addr *context, struct place *place)
{
	context->user_ip4 = place->address[3];
	context->user_port = place->port;
}

INLINE void write_ipv6(struct sock_addr *context, struct place *place)
{
	context->user_ip6[0] = place->address[0];
	context->user_ip6[1] = place->address[1];
	context->user_ip6[2] = place->address[2];
	context->user_ip6[3] = place->address[3];
	context->user_port = place->port;
}

#define TOWARDS(hook, family)                                \
	SECTION("cgroup/" #hook)                             \
	int hook(struct sock_addr *context)                  \
	{                                                    \
		struct place place = family(context);        \
		int verdict = choose(context, &place);       \
		if (verdict == GO_ON)                        \
			write_##family(context, &place);     \
		return verdict;                              \
	}

#define BACK(hook, family)                                   \
	SECTION("cgroup/" #hook)                             \
	int hook(struct sock_addr *context)                  \
	{                                                    \
		struct place place = family(context);        \
		recall(context, &place);                     \
		write_##family(context, &place);             \
		return GO_ON;                                \
	}

TOWARDS(connect4, ipv4)
TOWARDS(connect6, ipv6)
TOWARDS(sendmsg4, ipv4)
TOWARDS(sendmsg6, ipv6)
BACK(recvmsg4, ipv4)
BACK(recvmsg6, ipv6)
BACK(getpeername4, ipv4)
BACK(getpeername6, ipv6)

char SECTION("license") terms[] = "MIT";
