// Package tap writes the Test Anything Protocol, version 13, as far as the validation programs of
// runtime-tools ask for it: they import a package of this path that Debian does not carry.
package tap

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// T counts the tests of one program.
type T struct {
	// Writer takes the output; standard output where it is nil.
	Writer io.Writer
	count  int
	todo   bool
}

// New begins at no test.
func New() *T { return &T{} }

func (t *T) print(format string, words ...interface{}) {
	w := t.Writer
	if w == nil {
		w = os.Stdout
	}
	fmt.Fprintf(w, format, words...)
}

// Header writes the version, and the plan where the number of tests is known.
func (t *T) Header(planned int) {
	t.print("TAP version 13\n")
	if planned > 0 {
		t.print("1..%d\n", planned)
	}
}

// AutoPlan writes the plan after the tests.
func (t *T) AutoPlan() { t.print("1..%d\n", t.count) }

// Ok is one test and how it ended.
func (t *T) Ok(passed bool, description string) {
	t.count++
	word := "ok"
	if !passed {
		word = "not ok"
	}
	if t.todo {
		description += " # TODO"
		t.todo = false
	}
	t.print("%s %d - %s\n", word, t.count, strings.ReplaceAll(description, "\n", " "))
}

// Todo marks the next test as one that need not pass.
func (t *T) Todo() *T {
	t.todo = true
	return t
}

// Pass is a test that passed.
func (t *T) Pass(description string) { t.Ok(true, description) }

// Fail is a test that failed.
func (t *T) Fail(description string) { t.Ok(false, description) }

// Skip leaves tests out.
func (t *T) Skip(count int, description string) {
	for ; count > 0; count-- {
		t.count++
		t.print("ok %d # SKIP %s\n", t.count, description)
	}
}

// Diagnostic writes a comment.
func (t *T) Diagnostic(message string) {
	for _, line := range strings.Split(strings.TrimRight(message, "\n"), "\n") {
		t.print("# %s\n", line)
	}
}

// Diagnosticf writes a formatted comment.
func (t *T) Diagnosticf(format string, words ...interface{}) {
	t.Diagnostic(fmt.Sprintf(format, words...))
}

// YAML writes a block that belongs to the test before; JSON is YAML.
func (t *T) YAML(message interface{}) error {
	text, err := json.MarshalIndent(message, "  ", "  ")
	if err == nil {
		t.print("  ---\n  %s\n  ...\n", text)
	}
	return err
}
