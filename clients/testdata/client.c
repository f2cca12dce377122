/* The client of the tests: client MODE [NUMBER...]. See clients_linux_test.go. */
#include "mp.h"

#include <signal.h>

typedef struct { double x, y; } point;
typedef struct { int64_t a[5]; } wide;

static void check(int err, const char *what)
{
    if (err == MP_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, mp_error(err));
    exit(10 - err);
}

static mp_context mp;
static char buf[1 << 20];

static void echo(void)
{
    mp_pipe p;
    size_t n;
    int err;
    check(mp_pipe_open(&mp, "pipe", MP_ANY_END, &p), "open");
    while ((err = mp_receive(&p, buf, sizeof buf, &n, MP_FOREVER)) == MP_OK)
        check(mp_send(&p, buf, n, MP_FOREVER), "send");
    check(err == MP_END ? MP_OK : err, "receive");
}

/* forward sends on through one pipe what it receives from another one. Both have one direction. */
static void forward(void)
{
    mp_pipe from, to;
    size_t n;
    int err;
    check(mp_pipe_open(&mp, "from", MP_ANY_END, &from), "from");
    check(mp_pipe_open(&mp, "to", MP_ANY_END, &to), "to");
    if (mp_send(&from, buf, 1, 0) != MP_WRONG_DIRECTION || mp_receive(&to, buf, 1, &n, 0) != MP_WRONG_DIRECTION)
        check(MP_INVALID, "wrong direction");
    while ((err = mp_receive(&from, buf, sizeof buf, &n, MP_FOREVER)) == MP_OK)
        check(mp_send(&to, buf, n, MP_FOREVER), "send");
    check(err == MP_END ? MP_OK : err, "receive");
}

/* feed sends count numbers, from the one that the first message has. */
static void feed(uint64_t count)
{
    mp_pipe p;
    size_t n;
    uint64_t i;
    check(mp_pipe_open(&mp, "pipe", MP_ANY_END, &p), "open");
    check(mp_receive(&p, &i, sizeof i, &n, MP_FOREVER), "receive");
    for (; count > 0; count--, i++) {
        size_t size = 8 + i % 100;
        memcpy(buf, &i, 8);
        memset(buf + 8, (int)i, size - 8);
        check(mp_send(&p, buf, size, MP_FOREVER), "send");
    }
}

/* drain receives numbers and sends each tenth back. */
static void drain(void)
{
    mp_pipe p;
    size_t n;
    uint64_t i;
    int err;
    check(mp_pipe_open(&mp, "pipe", MP_ANY_END, &p), "open");
    while ((err = mp_receive(&p, buf, sizeof buf, &n, MP_FOREVER)) == MP_OK) {
        memcpy(&i, buf, 8);
        if (i % 10 == 0)
            check(mp_send(&p, buf, 8, MP_FOREVER), "send");
    }
    check(err == MP_END ? MP_OK : err, "receive");
}

static void objects(void)
{
    mp_array points, text, named;
    mp_value n, small, big;
    mp_block block;
    point p;
    wide w;
    size_t i;
    int64_t count;
    uint8_t flag;
    check(mp_array_open(&mp, "points", sizeof(point), &points), "points");
    for (i = 0; i < points.length; i++) {
        point *q = (point *)points.data + i;
        q->x *= q->x;
        q->y *= q->y;
    }
    check(mp_bytes_open(&mp, "text", &text), "text");
    memcpy(text.data, "HELLO", 5);
    check(mp_array_open(&mp, "in the directory", sizeof(int32_t), &named), "named");
    ((int32_t *)named.data)[0] = 77;
    check(mp_value_open(&mp, "n", sizeof count, &n), "n");
    mp_value_load(&n, &count);
    count++;
    check(mp_value_store(&n, &count, MP_FOREVER), "store");
    atomic_fetch_add((_Atomic int64_t *)mp_value_word(&n), 1);
    mp_value_wake(&n);
    check(mp_value_open(&mp, "small", sizeof flag, &small), "small");
    mp_value_load(&small, &flag);
    flag++;
    check(mp_value_store(&small, &flag, MP_FOREVER), "store");
    check(mp_value_open(&mp, "wide", sizeof w, &big), "wide");
    mp_value_load(&big, &w);
    for (i = 0; i < 5; i++)
        w.a[i]++;
    check(mp_value_store(&big, &w, MP_FOREVER), "store");
    check(mp_block_open("block", &block), "block");
    ((char *)block.data)[1] = ((char *)block.data)[0] + 1;
    mp_block_close(&block);
    (void)p;
}

/* publish stores {i, i, ...} in a wide value again and again, and checks that it reads no torn one. */
static void publish(void)
{
    mp_value v;
    wide w;
    int64_t i;
    int k;
    check(mp_value_open(&mp, "wide", sizeof w, &v), "wide");
    for (i = 0;; i++) {
        mp_value_load(&v, &w);
        for (k = 1; k < 5; k++)
            if (w.a[k] != w.a[0])
                check(MP_CORRUPT, "torn");
        for (k = 0; k < 5; k++)
            w.a[k] = i;
        check(mp_value_store(&v, &w, MP_FOREVER), "store");
    }
}

static void errors(void)
{
    mp_array a;
    mp_value v;
    mp_pipe p;
    mp_block b;
    size_t n;
    printf("%d", mp_array_open(&mp, "none", 8, &a));
    printf(" %d", mp_array_open(&mp, "points", 8, &a));
    printf(" %d", mp_value_open(&mp, "points", 16, &v));
    printf(" %d", mp_array_open(&mp, "mp1-123", 8, &a));
    printf(" %d", mp_array_open(&mp, "block", 8, &a));
    printf(" %d", mp_block_open("points", &b));
    printf(" %d", mp_block_open("none", &b));
    printf(" %d", mp_value_open(&mp, "n", 4, &v));
    check(mp_pipe_open(&mp, "pipe", MP_ANY_END, &p), "pipe");
    printf(" %d", mp_receive(&p, buf, 10, &n, 0));
    printf(" %d", mp_receive(&p, buf, 10, &n, 20));
    printf(" %d", mp_send(&p, buf, sizeof buf, 0));
    while (mp_send(&p, buf, 1000, 0) == MP_OK)
        ;
    printf(" %d\n", mp_send(&p, buf, 1000, 20));
    fflush(stdout);
    while (mp_receive(&p, buf, 2, &n, MP_FOREVER) != MP_SHORT_BUFFER)
        ;
    printf("%zu", n);
    mp_pipe_close(&p);
    printf(" %d", mp_send(&p, buf, 1, 0));
    printf(" %d\n", mp_attach(&mp));
}

/* once gets ready, and performs one operation when it is told to: cells[0] becomes 1 when it is ready,
 * cells[1] when it may begin, cells[2] when it has ended. */
static void once(const char *operation)
{
    mp_array cells;
    mp_pipe p;
    mp_value v;
    wide w = { { 2, 2, 2, 2, 2 } };
    size_t n;
    _Atomic int32_t *cell;
    int err = MP_INVALID;
    check(mp_array_open(&mp, "cells", sizeof(int32_t), &cells), "cells");
    check(mp_pipe_open(&mp, "pipe", MP_ANY_END, &p), "pipe");
    check(mp_value_open(&mp, "wide", sizeof w, &v), "wide");
    cell = cells.data;
    atomic_store(&cell[0], 1);
    while (atomic_load(&cell[1]) == 0)
        mp__pause();
    if (strcmp(operation, "send") == 0)
        err = mp_send(&p, "first", 5, MP_FOREVER);
    else if (strcmp(operation, "receive") == 0)
        err = mp_receive(&p, buf, sizeof buf, &n, MP_FOREVER);
    else if (strcmp(operation, "store") == 0)
        err = mp_value_store(&v, &w, MP_FOREVER);
    atomic_store(&cell[2], err == MP_OK ? 1 : 2);
    for (;;)
        pause();
}

static int upper(const void *argument, size_t n, mp_buffer *out)
{
    const char *text = argument;
    for (size_t i = 0; i < n; i++) {
        char c = text[i] >= 'a' && text[i] <= 'z' ? (char)(text[i] - 'a' + 'A') : text[i];
        if (mp_append(out, &c, 1) != MP_OK)
            return 1;
    }
    return 0;
}

/* print appends a number, as JSON. */
static int print(mp_buffer *out, long long n)
{
    char text[32];
    return mp_append(out, text, (size_t)snprintf(text, sizeof text, "%lld", n));
}

static int square(const void *argument, size_t n, mp_buffer *out)
{
    char text[32] = {0};
    memcpy(text, argument, n < sizeof text ? n : sizeof text - 1);
    long long x = strtoll(text, NULL, 10);
    return print(out, x * x);
}

static int pid(const void *argument, size_t n, mp_buffer *out)
{
    (void)argument, (void)n;
    return print(out, getpid());
}

static int act(const void *argument, size_t n, mp_buffer *out)
{
    char what[16] = {0};
    memcpy(what, argument, n < sizeof what ? n : sizeof what - 1);
    if (strcmp(what, "exit") == 0)
        _exit(3);
    if (strcmp(what, "kill") == 0)
        kill(getpid(), SIGKILL);
    if (strcmp(what, "sleep") == 0)
        for (;;)
            pause();
    mp_append(out, "it was told to ", 15);
    mp_append(out, what, strlen(what));
    return 1;
}

/* Is a worker of a pool. */
static void pool(void)
{
    static const mp_task tasks[] = {{"upper", upper}, {"square", square}, {"pid", pid}, {"act", act}};
    check(mp_serve(&mp, NULL, tasks, sizeof tasks / sizeof tasks[0]), "serve");
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    check(mp_attach(&mp), "attach");
    if (strcmp(mode, "echo") == 0)
        echo();
    else if (strcmp(mode, "feed") == 0)
        feed(strtoull(argv[2], NULL, 10));
    else if (strcmp(mode, "forward") == 0)
        forward();
    else if (strcmp(mode, "drain") == 0)
        drain();
    else if (strcmp(mode, "objects") == 0)
        objects();
    else if (strcmp(mode, "publish") == 0)
        publish();
    else if (strcmp(mode, "errors") == 0)
        errors();
    else if (strcmp(mode, "pool") == 0)
        pool();
    else if (strcmp(mode, "once") == 0)
        once(argv[2]);
    else
        return 2;
    mp_detach(&mp);
    return 0;
}
