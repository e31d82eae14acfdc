// Command porcupine judges whether histories of single objects are linearizable.
//
// It reads one JSON request from standard input and writes one JSON line for each partition as soon
// as that partition is decided, then a last line {"done": true}. Lines already written stay true
// when the process is killed later. The search is Porcupine's (Lowe 2017, with P-compositionality
// left to the caller, who splits histories by key).
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	request, err := readRequest(bufio.NewReaderSize(os.Stdin, 1<<20))
	if err != nil {
		fmt.Fprintf(os.Stderr, "porcupine: %v\n", err)
		os.Exit(2)
	}
	out := json.NewEncoder(os.Stdout)
	seconds := judge(request, func(answer answer) {
		if err := out.Encode(answer); err != nil {
			// The reader is gone: nobody wants the rest.
			os.Exit(1)
		}
	})
	if err := out.Encode(map[string]any{"done": true, "seconds": seconds}); err != nil {
		os.Exit(1)
	}
}
