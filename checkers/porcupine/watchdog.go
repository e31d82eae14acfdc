package main

import (
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

const pollEvery = 10 * time.Millisecond

const (
	running int32 = iota
	outOfTime
	outOfMemory
)

// guard tells one search to stop, and why.
type guard struct {
	state atomic.Int32
	timer *time.Timer
}

func (g *guard) stopped() bool { return g.state.Load() != running }

// watchdog stops searches that run out of time, and all of them when the process has grown by more
// than its limit: an answer of unknown is better than being killed by the kernel.
type watchdog struct {
	limit  int64
	start  int64
	mutex  sync.Mutex
	active map[*guard]struct{}
}

func newWatchdog(limit int64) *watchdog {
	made := &watchdog{limit: limit, start: held(), active: map[*guard]struct{}{}}
	// The collector works harder well below the limit, so that garbage alone does not reach it.
	debug.SetMemoryLimit(made.start + limit/10*8)
	go made.poll()
	return made
}

func (w *watchdog) begin(deadline time.Time) *guard {
	made := &guard{}
	made.timer = time.AfterFunc(time.Until(deadline), func() {
		made.state.CompareAndSwap(running, outOfTime)
	})
	w.mutex.Lock()
	w.active[made] = struct{}{}
	w.mutex.Unlock()
	return made
}

// end gives the reason why a search was stopped, "" if it was not.
func (w *watchdog) end(g *guard) string {
	g.timer.Stop()
	w.mutex.Lock()
	delete(w.active, g)
	w.mutex.Unlock()
	switch g.state.Load() {
	case outOfTime:
		return "time"
	case outOfMemory:
		// What the search kept is garbage now; the next one must not be charged for it.
		debug.FreeOSMemory()
		return "memory"
	}
	return ""
}

// held gives the bytes that the process holds of the machine's memory.
func held() int64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}

func (w *watchdog) poll() {
	for range time.Tick(pollEvery) {
		if held()-w.start <= w.limit {
			continue
		}
		w.mutex.Lock()
		for g := range w.active {
			g.state.CompareAndSwap(running, outOfMemory)
		}
		w.mutex.Unlock()
	}
}
