package main

import "github.com/anishathalye/porcupine"

// interner gives equal states equal numbers. Without tokens a state is its code; with tokens it is a
// node of a trie, so that comparing two long sequences is comparing two numbers, exactly.
type interner struct {
	tokens [][]int
	coded  map[int]int
	nodes  map[edge]int
}

type edge struct{ parent, token int }

func newInterner(tokens [][]int) *interner {
	return &interner{tokens: tokens, coded: map[int]int{}, nodes: map[edge]int{}}
}

// of gives the state that a code stands for.
func (s *interner) of(code int) int {
	if s.tokens == nil {
		return code
	}
	if state, ok := s.coded[code]; ok {
		return state
	}
	state := s.longer(0, code)
	s.coded[code] = state
	return state
}

// longer gives the state that appending a code's tokens leads to.
func (s *interner) longer(state, code int) int {
	for _, token := range s.tokens[code] {
		at := edge{state, token}
		next, ok := s.nodes[at]
		if !ok {
			next = len(s.nodes) + 1
			s.nodes[at] = next
		}
		state = next
	}
	return state
}

// step is the sequential specification. done is false for an operation of unknown outcome, which
// constrains nothing: a compare-and-set among them changes the state where it matches.
func (s *interner) step(state int, row *operation, done bool) (bool, int) {
	switch row.kind {
	case kindRead:
		return state == row.value, state
	case kindWrite:
		return true, row.value
	case kindCas:
		if state == row.expected {
			return true, row.value
		}
		return !done, state
	case kindAppend:
		return true, s.longer(state, row.value)
	default:
		return state != row.expected, state
	}
}

// model wraps the specification for Porcupine. Once the guard says stop every step is refused, so
// that the search unwinds at once; its answer means nothing then.
func (s *interner) model(initial int, guard *guard) porcupine.Model {
	return porcupine.Model{
		Init: func() interface{} { return initial },
		Step: func(state, input, output interface{}) (bool, interface{}) {
			if guard.stopped() {
				return false, state
			}
			return s.step(state.(int), input.(*operation), output.(bool))
		},
		Equal: func(left, right interface{}) bool { return left.(int) == right.(int) },
		Hash: func(state interface{}) uint64 {
			return uint64(state.(int)) * 0x9e3779b97f4a7c15
		},
	}
}

func calls(rows []operation) []porcupine.Operation {
	made := make([]porcupine.Operation, len(rows))
	for i := range rows {
		made[i] = porcupine.Operation{
			Input:  &rows[i],
			Call:   rows[i].call,
			Output: rows[i].ret != pending,
			Return: rows[i].ret,
		}
	}
	return made
}
