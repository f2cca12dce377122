package ring

import (
	"context"
	"runtime"

	"github.com/seed-2e7ecdea/mp/internal/cpu"
)

// PutMany appends all values of vs, in order. It costs much less than a Put for each. It blocks while
// the queue is full. It returns how many values were put: vs[:n]. If n < len(vs), the error says why,
// as that of Put.
//
// The values of vs are not put at once: getters may take the first ones before the last ones are
// there, and values of other putters may come between. If the process is killed, some first values of
// vs have been put.
func (q *Queue[T]) PutMany(ctx context.Context, vs []T) (n int, err error) {
	k := q.core.Load()
	if k == nil {
		return q.enc.Load().putMany(ctx, "PutMany", vs)
	}
	for n < len(vs) && err == nil {
		var put int
		put, err = k.putRun(vs[n:])
		if err == ErrFull {
			put, err = q.putManyWait(ctx, k, vs[n:])
		}
		n += put
	}
	if err != nil {
		err = k.fails.of("PutMany", err)
	}
	runtime.KeepAlive(k)
	return n, err
}

// putManyWait is putRun after a try that failed with ErrFull. It blocks. It is a function of its own so that
// its result escapes to the heap here and not in PutMany.
func (q *Queue[T]) putManyWait(ctx context.Context, k *queueCore[T], vs []T) (n int, err error) {
	err = q.awaitPut(ctx, k, func() (err error) {
		n, err = k.putRun(vs)
		return err
	})
	return n, err
}

// TryPutMany appends values of vs, in order, as long as there is space. It never blocks. It returns
// how many values were put: vs[:n]. If n < len(vs), the error says why, as that of TryPut.
func (q *Queue[T]) TryPutMany(vs []T) (n int, err error) {
	k := q.core.Load()
	if k == nil {
		return q.enc.Load().putMany(tryOnce, "TryPutMany", vs)
	}
	for n < len(vs) && err == nil {
		var put int
		put, err = k.putRun(vs[n:])
		n += put
	}
	if err != nil {
		err = k.fails.of("TryPutMany", err)
	}
	runtime.KeepAlive(k)
	return n, err
}

// GetMany takes the oldest values into vs: at least one, and as many more as are there and fit. It
// costs much less than a Get for each. It blocks while the queue is empty. It returns how many values
// it took: they are vs[:n]. If n is 0 and vs is not empty, the error says why, as that of Get.
//
// Each process killed inside GetMany may lose those values that GetMany was about to return and whose
// slots it had given back; it loses none that other processes get.
//
// If an encoded value can't be decoded, it is gone. GetMany then returns its error beside the number
// of values in vs. Short strings and byte slices of one batch may share memory: one that is kept keeps
// up to 512 bytes.
func (q *Queue[T]) GetMany(ctx context.Context, vs []T) (n int, err error) {
	k := q.core.Load()
	if k == nil {
		return q.enc.Load().getMany(ctx, "GetMany", vs)
	}
	if len(vs) == 0 {
		return 0, nil
	}
	n, err = k.getRun(vs)
	if err == ErrEmpty || err == ErrBusy {
		n, err = q.getManyWait(ctx, k, vs)
	}
	return q.getMore("GetMany", k, vs, n, err)
}

// getManyWait is getRun after a try that found nothing. It blocks.
func (q *Queue[T]) getManyWait(ctx context.Context, k *queueCore[T], vs []T) (n int, err error) {
	err = q.awaitGet(ctx, k, func() (err error) {
		n, err = k.getRun(vs)
		return err
	})
	return n, err
}

// TryGetMany is GetMany that never blocks. If it takes nothing, it fails as TryGet does.
func (q *Queue[T]) TryGetMany(vs []T) (n int, err error) {
	k := q.core.Load()
	if k == nil {
		return q.enc.Load().getMany(tryOnce, "TryGetMany", vs)
	}
	if len(vs) == 0 {
		return 0, nil
	}
	n, err = k.getRun(vs)
	for i := 0; err == ErrBusy && i < busySpins; i++ {
		cpu.Pause()
		n, err = k.getRun(vs)
	}
	return q.getMore("TryGetMany", k, vs, n, err)
}

// getMore takes what else is there, after n values of vs were taken, or returns the error of the
// method op.
func (q *Queue[T]) getMore(op string, k *queueCore[T], vs []T, n int, err error) (int, error) {
	if err != nil {
		return 0, k.fails.of(op, err)
	}
	for n < len(vs) {
		more, err := k.getRun(vs[n:])
		if err != nil {
			break
		}
		n += more
	}
	runtime.KeepAlive(k)
	return n, nil
}
