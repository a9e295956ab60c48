package bench

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// aimResident is what a registry of ten million objects may have in memory.
const aimResident = 1 << 30

// Transfer is how many records went into the log or came out of it.
type Transfer struct {
	Records int64         `json:"records"`
	Bytes   int64         `json:"bytes"`
	Took    time.Duration `json:"took"`
}

func (t Transfer) perSecond() float64 { return float64(t.Records) / t.Took.Seconds() }

// Start is how a registry came up.
type Start struct {
	// Took is the time from the start of its process until it was up to date.
	Took time.Duration `json:"took"`
	// Records were read from the log meanwhile.
	Records  int64         `json:"records"`
	Resident uint64        `json:"resident"`
	Peak     uint64        `json:"peak"`
	CPU      time.Duration `json:"cpu"`
}

// LookupRow is one kind of look-up: in the view as it is by two readers, and exact by all.
type LookupRow struct {
	By    string `json:"by"`
	Known bool   `json:"known"`
	Local Reads  `json:"local"`
	Exact Reads  `json:"exact"`
}

// BarrierRow is what exact reads by external id cost.
type BarrierRow struct {
	Readers int   `json:"readers"`
	Rate    int   `json:"rate"`
	Reads   Reads `json:"reads"`
	// Asked is how often a second the brokers were asked where the partitions end.
	Asked float64 `json:"asked"`
	// Applied is how many records a second the view took in meanwhile.
	Applied float64 `json:"applied"`
}

// RegistryReport is every figure of a run.
type RegistryReport struct {
	Time       time.Time      `json:"time"`
	Go         string         `json:"go"`
	Processors int            `json:"processors"`
	LoadBefore string         `json:"loadBefore"`
	LoadAfter  string         `json:"loadAfter"`
	Config     RegistryConfig `json:"config"`
	Produced   Transfer       `json:"produced"`
	Limit      Transfer       `json:"limit"`
	Load       Start          `json:"load"`
	Disk       int64          `json:"disk"`
	Lookups    []LookupRow    `json:"lookups"`
	Barriers   []BarrierRow   `json:"barriers"`
	AfterReads serverState    `json:"afterReads"`
	Restart    Start          `json:"restart"`
	Killed     Start          `json:"killed"`
}

func newRegistryReport(cfg RegistryConfig) *RegistryReport {
	return &RegistryReport{
		Time: time.Now().UTC(), Go: runtime.Version(), Processors: runtime.NumCPU(), LoadBefore: loadAverage(), Config: cfg,
	}
}

func mebibytes[N int64 | uint64](bytes N) float64 { return float64(bytes) / (1 << 20) }

// write prints the tables.
func (r *RegistryReport) write(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s, %d processors, %s; load %s before, %s after; %d objects, %d data keys\n\n",
		r.Time.Format(time.DateOnly), r.Processors, r.Go, r.LoadBefore, r.LoadAfter, r.Config.Objects, r.Config.Objects)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) } // a strings.Builder takes everything
	loaded := float64(r.Load.Records) / r.Load.Took.Seconds()
	line("\trecords\ttime, s\trecords/s\tof the limit")
	line("written to the log\t%d\t%.1f\t%.0f\t", r.Produced.Records, r.Produced.Took.Seconds(), r.Produced.perSecond())
	line("read by a bare consumer\t%d\t%.1f\t%.0f\t1", r.Limit.Records, r.Limit.Took.Seconds(), r.Limit.perSecond())
	line("loaded by the registry\t%d\t%.1f\t%.0f\t%.2f", r.Load.Records, r.Load.Took.Seconds(), loaded, loaded/r.Limit.perSecond())
	line("started again after a stop\t%d\t%.1f\t\t", r.Restart.Records, r.Restart.Took.Seconds())
	line("started again after kill -9\t%d\t%.1f\t\t", r.Killed.Records, r.Killed.Took.Seconds())
	line("")
	line("\tMiB\taim")
	line("resident after the load\t%.0f\t%s", mebibytes(r.Load.Resident), r.aim(r.Load.Resident))
	line("most resident during the load\t%.0f\t%s", mebibytes(r.Load.Peak), r.aim(r.Load.Peak))
	line("most resident after all reads\t%.0f\t%s", mebibytes(r.AfterReads.Peak), r.aim(r.AfterReads.Peak))
	line("resident after the restart\t%.0f\t%s", mebibytes(r.Restart.Resident), r.aim(r.Restart.Resident))
	line("on disk after the load\t%.0f\t", mebibytes(r.Disk))
	line("records in the log\t%.0f\t", mebibytes(r.Produced.Bytes))
	line("")
	line("look-ups of a log at rest\tlocal/s, 2 readers\tp50, µs\tp99, µs\texact/s, %d readers\tp50, ms\tp99, ms", r.Config.Readers)
	for _, l := range r.Lookups {
		line("  by %s, %s\t%.0f\t%.1f\t%.1f\t%.0f\t%.2f\t%.2f", l.By, map[bool]string{true: "known", false: "unknown"}[l.Known],
			l.Local.perSecond(), 1000*milliseconds(l.Local.P50), 1000*milliseconds(l.Local.P99),
			l.Exact.perSecond(), milliseconds(l.Exact.P50), milliseconds(l.Exact.P99))
	}
	line("")
	line("exact reads by externalId\tobjects written/s\treads/s\tp50, ms\tp99, ms\tListOffsets/s\treads that share one\tgave up")
	for _, row := range r.Barriers {
		line("  %d readers\t%.0f\t%.0f\t%.2f\t%.2f\t%.0f\t%.1f\t%d", row.Readers, row.Applied, row.Reads.perSecond(),
			milliseconds(row.Reads.P50), milliseconds(row.Reads.P99), row.Asked, row.Reads.perSecond()/max(row.Asked, 1), row.Reads.Behind)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// aim judges memory where there are as many objects as the aim is for, or more.
func (r *RegistryReport) aim(resident uint64) string {
	if r.Config.Objects < 10_000_000 {
		return ""
	}
	return "at most 1024: " + verdict(resident <= aimResident)
}
