package main

import (
	"runtime"
	"sort"
	"sync"
	"time"
)

// The whole search may take this share of the time limit; the rest is for the longest prefix of what
// stayed undecided.
const searchShare = 0.85

// Hard partitions must not keep easy ones waiting: each gets a little time first, then more.
var quanta = []time.Duration{200 * time.Millisecond, 2 * time.Second, 0}

// judge answers for every partition and gives the seconds that it took.
func judge(r *request, say func(answer)) float64 {
	start := time.Now()
	limit := time.Duration(r.TimeLimitMs) * time.Millisecond
	b := &bench{
		explain:  r.Explain,
		workers:  workers(r),
		memory:   newBudget(r.MemoryBytes),
		deadline: start.Add(limit),
		say:      say,
	}
	searching := start.Add(time.Duration(float64(limit) * searchShare))
	left := b.admit(r)
	for _, quantum := range quanta {
		left = b.pass(left, quantum, searching)
	}
	b.alone(searching)
	b.prefixes()
	return time.Since(start).Seconds()
}

// bench is where partitions are worked on.
type bench struct {
	explain  bool
	workers  int
	memory   *budget
	deadline time.Time

	mutex   sync.Mutex
	say     func(answer)
	greedy  []*search // stopped for memory beside others; they get another try alone
	unknown []verdict // undecided for good
}

type verdict struct {
	search *search
	reason string
}

func workers(r *request) int {
	count := r.Workers
	if cores := runtime.GOMAXPROCS(0); count <= 0 || count > cores {
		count = cores
	}
	return count
}

// admit prepares the partitions, the smallest first, and refuses those that cannot fit.
func (b *bench) admit(r *request) []*search {
	watch := newWatchdog(r.MemoryBytes)
	var admitted []*search
	for number := range r.Partitions {
		p := &r.Partitions[number]
		states := newInterner(r.Tokens)
		made := &search{number: number, states: states, watch: watch}
		made.initial = states.of(p.Initial)
		made.rows = p.operations(states)
		made.predicted = predictedBytes(len(made.rows))
		if made.predicted > r.MemoryBytes {
			b.unknown = append(b.unknown, verdict{made, "predicted-memory"})
			continue
		}
		admitted = append(admitted, made)
	}
	sort.SliceStable(admitted, func(i, j int) bool {
		return len(admitted[i].rows) < len(admitted[j].rows)
	})
	return admitted
}

// pass gives each search a quantum (0: all the time there is) and returns those that need more.
func (b *bench) pass(todo []*search, quantum time.Duration, end time.Time) []*search {
	var again []*search
	var mutex sync.Mutex
	b.each(todo, func(s *search) {
		b.memory.take(s.predicted)
		defer b.memory.give(s.predicted)
		until := end
		if quantum > 0 && time.Now().Add(quantum).Before(end) {
			until = time.Now().Add(quantum)
		}
		if !b.attempt(s, until, quantum == 0) {
			mutex.Lock()
			again = append(again, s)
			mutex.Unlock()
		}
	})
	sort.SliceStable(again, func(i, j int) bool { return len(again[i].rows) < len(again[j].rows) })
	return again
}

// attempt runs one search and tells whether the partition is dealt with.
func (b *bench) attempt(s *search, until time.Time, last bool) bool {
	found, reason := s.run(s.rows, until)
	switch {
	case found != "unknown":
		b.decide(s, found)
	case reason == "memory":
		b.mutex.Lock()
		b.greedy = append(b.greedy, s)
		b.mutex.Unlock()
	case last:
		b.mutex.Lock()
		b.unknown = append(b.unknown, verdict{s, reason})
		b.mutex.Unlock()
	default:
		return false
	}
	return true
}

// alone tries again those that ran out of memory, one at a time.
func (b *bench) alone(end time.Time) {
	for _, s := range b.greedy {
		found, _ := s.run(s.rows, end)
		if found == "unknown" {
			// Memory is why it is here, even if it was time that ran out in the end.
			b.unknown = append(b.unknown, verdict{s, "memory"})
			continue
		}
		b.decide(s, found)
	}
}

// prefixes says of each undecided partition how far it was checked.
func (b *bench) prefixes() {
	for i, left := range b.unknown {
		found := answer{
			Partition: left.search.number, Answer: "unknown", Reason: left.reason, Culprit: -1,
		}
		share := time.Until(b.deadline) / time.Duration(len(b.unknown)-i)
		left.search.gallop(&found, time.Now().Add(share))
		b.say(found)
	}
}

func (b *bench) decide(s *search, found string) {
	made := answer{Partition: s.number, Answer: found, Culprit: -1}
	ends := len(completions(s.rows))
	if found == "ok" {
		made.Checked = ends
	} else if b.explain {
		s.explain(&made, 0, ends, b.deadline)
	}
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.say(made)
}

func (b *bench) each(todo []*search, work func(*search)) {
	var group sync.WaitGroup
	queue := make(chan *search)
	for i := 0; i < b.workers; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for s := range queue {
				work(s)
			}
		}()
	}
	for _, s := range todo {
		queue <- s
	}
	close(queue)
	group.Wait()
}

// budget lets searches run side by side only while their predicted memory fits together.
type budget struct {
	cond *sync.Cond
	free int64
}

func newBudget(bytes int64) *budget {
	return &budget{cond: sync.NewCond(&sync.Mutex{}), free: bytes}
}

func (b *budget) take(bytes int64) {
	b.cond.L.Lock()
	defer b.cond.L.Unlock()
	for b.free < bytes {
		b.cond.Wait()
	}
	b.free -= bytes
}

func (b *budget) give(bytes int64) {
	b.cond.L.Lock()
	b.free += bytes
	b.cond.L.Unlock()
	b.cond.Broadcast()
}
