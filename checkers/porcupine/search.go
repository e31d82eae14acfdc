package main

import (
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// search is one partition on its way to an answer.
type search struct {
	number    int
	rows      []operation
	initial   int
	states    *interner
	watch     *watchdog
	predicted int64
}

// predictedBytes is what a successful search keeps at least: a set of n bits for each of n steps.
func predictedBytes(operations int) int64 {
	n := int64(operations)
	return n * (n + 7) / 8
}

// run searches once. It gives "ok", "illegal", or "unknown" with the reason.
func (s *search) run(rows []operation, deadline time.Time) (string, string) {
	guard := s.watch.begin(deadline)
	legal := porcupine.CheckOperations(s.states.model(s.initial, guard), calls(rows))
	reason := s.watch.end(guard)
	if legal {
		return "ok", ""
	}
	if reason != "" {
		return "unknown", reason
	}
	return "illegal", ""
}

// explain finds the shortest prefix that is illegal, knowing that the one with `bad` completions is
// and the one with `good` is not, and how far a linearization of it gets.
func (s *search) explain(found *answer, good, bad int, deadline time.Time) {
	ends := completions(s.rows)
	for bad-good > 1 {
		middle := (good + bad) / 2
		switch verdict, _ := s.run(prefix(s.rows, ends[middle-1]), deadline); verdict {
		case "ok":
			good = middle
		case "illegal":
			bad = middle
		default:
			found.Checked = good
			return
		}
	}
	found.Checked = good
	for _, row := range s.rows {
		if row.ret == ends[bad-1] {
			found.Culprit = row.index
		}
	}
	found.Linearized = s.furthest(prefix(s.rows, ends[bad-1]), deadline)
}

// furthest gives the longest partial linearization of an illegal history.
func (s *search) furthest(rows []operation, deadline time.Time) []int {
	guard := s.watch.begin(deadline)
	_, info := porcupine.CheckOperationsVerbose(s.states.model(s.initial, guard), calls(rows), 0)
	if s.watch.end(guard) != "" {
		return nil
	}
	var best []int
	for _, partials := range info.PartialLinearizations() {
		sort.Slice(partials, func(i, j int) bool { return less(partials[i], partials[j]) })
		if len(partials) > 0 {
			best = partials[0]
		}
	}
	indices := make([]int, len(best))
	for i, id := range best {
		indices[i] = rows[id].index
	}
	return indices
}

// less puts longer sequences first, then those with smaller numbers, so that answers are the same
// every time.
func less(left, right []int) bool {
	if len(left) != len(right) {
		return len(left) > len(right)
	}
	for i := range left {
		if left[i] != right[i] {
			return left[i] < right[i]
		}
	}
	return false
}

// gallop checks ever longer prefixes of a history that is too hard as a whole: the largest legal one
// is worth reporting, and an illegal one decides.
func (s *search) gallop(found *answer, deadline time.Time) {
	ends := completions(s.rows)
	for size := 32; size < len(ends); size *= 2 {
		rows := prefix(s.rows, ends[size-1])
		if predictedBytes(len(rows)) > s.watch.limit {
			return
		}
		verdict, _ := s.run(rows, deadline)
		if verdict == "unknown" {
			return
		}
		if verdict == "illegal" {
			found.Answer, found.Reason = "illegal", ""
			s.explain(found, found.Checked, size, deadline)
			return
		}
		found.Checked = size
	}
}
