// Package main says what robfig/cron, which CronJobs are run by, makes of cron expressions: one JSON question a line on
// standard input, one JSON answer a line on standard output.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/robfig/cron/v3"
)

type question struct {
	Expression string
	Zone       string
	After      int64
	Count      int
}

type answer struct {
	Error string  `json:"error,omitempty"`
	Times []int64 `json:"times"`
}

func reply(q question) (a answer) {
	a.Times = []int64{}
	// Some spellings of a zone inside the expression make the parser panic.
	defer func() {
		if r := recover(); r != nil {
			a.Error = fmt.Sprint(r)
		}
	}()
	zone, err := time.LoadLocation(q.Zone)
	if err != nil {
		return answer{Error: err.Error(), Times: a.Times}
	}
	schedule, err := cron.ParseStandard(q.Expression)
	if err != nil {
		return answer{Error: err.Error(), Times: a.Times}
	}
	moment := time.Unix(q.After, 0).In(zone)
	for range q.Count {
		moment = schedule.Next(moment)
		if moment.IsZero() {
			break
		}
		a.Times = append(a.Times, moment.Unix())
	}
	return a
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := out.Encode(reply(q)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
