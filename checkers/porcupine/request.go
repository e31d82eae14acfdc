package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"sort"
)

// The kinds of operations, by their number in a request.
const (
	kindRead    = 0 // observes value
	kindWrite   = 1 // sets value
	kindCas     = 2 // observes expected, sets value
	kindAppend  = 3 // makes the state longer by value
	kindRefused = 4 // a compare-and-set that did not match: observes anything but expected
	kindLast    = kindRefused
)

// pending is the return time of an operation of unknown outcome.
const pending = int64(math.MaxInt64)

// partition holds the operations of one object in columns. Values are codes; a return of -1 means
// that the outcome is unknown, and such an operation may take effect at any time after its call.
type partition struct {
	Initial  int     `json:"initial"`
	Kind     []int   `json:"kind"`
	Call     []int64 `json:"call"`
	Return   []int64 `json:"return"`
	Value    []int   `json:"value"`
	Expected []int   `json:"expected"`
}

// request is what the caller asks. Tokens, when there are any, give each code's content as a
// sequence, which append makes longer; without them codes are opaque.
type request struct {
	TimeLimitMs int64       `json:"time_limit_ms"`
	MemoryBytes int64       `json:"memory_limit_bytes"`
	Workers     int         `json:"workers"`
	Explain     bool        `json:"explain"`
	Tokens      [][]int     `json:"tokens"`
	Partitions  []partition `json:"partitions"`
}

// operation is one row of a partition; index is its place there.
type operation struct {
	index    int
	kind     int
	call     int64
	ret      int64
	value    int
	expected int
}

// answer is what is said of one partition.
type answer struct {
	Partition int    `json:"partition"`
	Answer    string `json:"answer"`
	// Reason of an unknown: "time", "memory" or "predicted-memory".
	Reason string `json:"reason,omitempty"`
	// Checked counts the completions in the longest prefix that was found linearizable.
	Checked int `json:"checked"`
	// Culprit is the operation whose completion first made the history illegal, -1 if not sought.
	Culprit int `json:"culprit"`
	// Linearized is the longest partial linearization of the history up to the culprit.
	Linearized []int `json:"linearized,omitempty"`
}

func readRequest(in io.Reader) (*request, error) {
	var found request
	if err := json.NewDecoder(in).Decode(&found); err != nil {
		return nil, fmt.Errorf("the request cannot be read: %w", err)
	}
	if found.TimeLimitMs <= 0 || found.MemoryBytes <= 0 {
		return nil, fmt.Errorf("the request needs a time limit and a memory limit above 0")
	}
	for number := range found.Partitions {
		if err := found.check(&found.Partitions[number]); err != nil {
			return nil, fmt.Errorf("partition %d: %w", number, err)
		}
	}
	return &found, nil
}

func (r *request) check(p *partition) error {
	rows := len(p.Kind)
	for _, length := range []int{len(p.Call), len(p.Return), len(p.Value), len(p.Expected)} {
		if length != rows {
			return fmt.Errorf("columns differ in length")
		}
	}
	known := func(code int) bool { return r.Tokens == nil || (code >= 0 && code < len(r.Tokens)) }
	if !known(p.Initial) {
		return fmt.Errorf("the initial value has no tokens")
	}
	for row, kind := range p.Kind {
		if kind < 0 || kind > kindLast || (kind == kindAppend && r.Tokens == nil) {
			return fmt.Errorf("row %d has kind %d, which is not possible here", row, kind)
		}
		if !known(p.Value[row]) || !known(p.Expected[row]) {
			return fmt.Errorf("row %d has a code without tokens", row)
		}
		if p.Return[row] != -1 && p.Return[row] <= p.Call[row] {
			return fmt.Errorf("row %d returns before it is called", row)
		}
		if p.Return[row] == -1 && (kind == kindRead || kind == kindRefused) {
			return fmt.Errorf("row %d observes nothing and has no effect", row)
		}
	}
	return nil
}

// operations gives the rows of a partition, with each code replaced by the state it stands for.
func (p *partition) operations(states *interner) []operation {
	rows := make([]operation, len(p.Kind))
	for row, kind := range p.Kind {
		made := operation{index: row, kind: kind, call: p.Call[row], ret: p.Return[row]}
		if made.ret == -1 {
			made.ret = pending
		}
		made.value, made.expected = p.Value[row], p.Expected[row]
		if kind != kindAppend {
			made.value = states.of(made.value)
		}
		made.expected = states.of(made.expected)
		rows[row] = made
	}
	return rows
}

// completions gives the return times of the operations whose outcome is known, in order.
func completions(rows []operation) []int64 {
	times := make([]int64, 0, len(rows))
	for _, row := range rows {
		if row.ret != pending {
			times = append(times, row.ret)
		}
	}
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	return times
}

// prefix gives the history as it was known at a time: what was open then is of unknown outcome.
func prefix(rows []operation, end int64) []operation {
	kept := make([]operation, 0, len(rows))
	for _, row := range rows {
		if row.call >= end {
			continue
		}
		if row.ret > end {
			if row.kind == kindRead || row.kind == kindRefused {
				continue
			}
			row.ret = pending
		}
		kept = append(kept, row)
	}
	return kept
}
