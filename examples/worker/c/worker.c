/* Sums up the squares of elements of a shared array, as its orders say. */
#include "mp.h"

static void check(int err, const char *what)
{
    if (err != MP_OK) {
        fprintf(stderr, "worker: %s: %s\n", what, mp_error(err));
        exit(1);
    }
}

int main(void)
{
    mp_context mp;
    mp_array numbers;
    mp_pipe orders;
    uint64_t order[2], i;
    size_t n;
    int err;

    check(mp_attach(&mp), "attach");
    check(mp_array_open(&mp, "numbers", sizeof(double), &numbers), "numbers");
    check(mp_pipe_open(&mp, "orders", MP_ANY_END, &orders), "orders");
    while ((err = mp_receive(&orders, order, sizeof order, &n, MP_FOREVER)) == MP_OK) {
        const double *x = numbers.data;
        double sum = 0;
        for (i = order[0]; i < order[1] && i < numbers.length; i++)
            sum += x[i] * x[i];
        check(mp_send(&orders, &sum, sizeof sum, MP_FOREVER), "send");
    }
    check(err == MP_END ? MP_OK : err, "receive");
    return 0;
}
