// Package tap prints the Test Anything Protocol: what the validation programs use of a package that Debian does not
// have.
package tap

import (
	"encoding/json"
	"fmt"
	"strings"
)

// T counts the tests of one program.
type T struct {
	tests *int
	// What stands before the name of a test.
	mark string
}

// New starts counting.
func New() *T {
	return &T{tests: new(int), mark: "- "}
}

// Header opens the protocol; a plan of zero tests is printed by AutoPlan.
func (t *T) Header(plan int) {
	fmt.Println("TAP version 13")
	if plan > 0 {
		fmt.Printf("1..%d\n", plan)
	}
}

// AutoPlan closes the protocol.
func (t *T) AutoPlan() {
	fmt.Printf("1..%d\n", *t.tests)
}

// Ok is one test.
func (t *T) Ok(passed bool, name string) {
	*t.tests++
	word := "ok"
	if !passed {
		word = "not ok"
	}
	fmt.Printf("%s %d %s%s\n", word, *t.tests, t.mark, name)
}

// Pass is one test that passed.
func (t *T) Pass(name string) {
	t.Ok(true, name)
}

// Todo gives tests that nobody can pass yet.
func (t *T) Todo() *T {
	return &T{tests: t.tests, mark: "# TODO "}
}

// Fail is one test that failed.
func (t *T) Fail(name string) {
	t.Ok(false, name)
}

// Skip is some tests that were not run.
func (t *T) Skip(count int, reason string) {
	for ; count > 0; count-- {
		*t.tests++
		fmt.Printf("ok %d # SKIP %s\n", *t.tests, reason)
	}
}

// Diagnostic prints a remark.
func (t *T) Diagnostic(remark string) {
	fmt.Println("# " + strings.ReplaceAll(remark, "\n", "\n# "))
}

// Diagnosticf prints a formatted remark.
func (t *T) Diagnosticf(format string, values ...interface{}) {
	t.Diagnostic(fmt.Sprintf(format, values...))
}

// YAML prints a value that belongs to the test before; JSON is YAML.
func (t *T) YAML(value interface{}) error {
	text, err := json.MarshalIndent(value, "  ", "  ")
	if err != nil {
		return err
	}
	fmt.Printf("  ---\n  %s\n  ...\n", text)
	return nil
}
