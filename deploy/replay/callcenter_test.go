package replay

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const header = "vru+line\tcall_id\tcustomer_id\tpriority\ttype\tdate\tvru_entry\tvru_exit\tvru_time\tq_start\tq_exit\t" +
	"q_time\toutcome\tser_start\tser_exit\tser_time\tserver\n"

func at(clock string) time.Time {
	t, err := time.Parse(time.DateTime, "1999-02-01 "+clock)
	if err != nil {
		return time.Time{}
	}
	return t
}

func TestRowsBecomeCalls(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, row string
		want      Call
	}{
		{
			name: "a customer who waited and was served",
			row:  "AA0101\t34540\t48178511\t2\tPS\t990201\t8:19:42\t8:19:47\t5\t8:19:47\t8:20:21\t34\tAGENT\t8:20:25\t8:22:04\t99\tMICHAL",
			want: Call{
				ID: "990201-AA0101-34540", Customer: "48178511", Priority: 2, Service: "PS", Outcome: "AGENT", Agent: "MICHAL",
				Opened: at("08:19:42"), Queued: at("08:19:47"), Responded: at("08:20:25"), Closed: at("08:22:04"),
			},
		},
		{
			name: "an unknown caller who was served at once",
			row:  "AA0101\t34536\t0\t0\tPS\t990201\t7:02:47\t7:02:56\t9\t0:00:00\t0:00:00\t0\tAGENT\t7:02:55\t7:05:41\t166\tDORIT",
			want: Call{
				ID: "990201-AA0101-34536", Service: "PS", Outcome: "AGENT", Agent: "DORIT",
				Opened: at("07:02:47"), Responded: at("07:02:55"), Closed: at("07:05:41"),
			},
		},
		{
			name: "a customer who hung up in the queue",
			row:  "AA0101\t34539\t23317894\t2\tPS\t990201\t8:09:16\t8:09:22\t6\t8:09:22\t8:09:27\t5\tHANG\t0:00:00\t0:00:00\t0\tNO_SERVER",
			want: Call{
				ID: "990201-AA0101-34539", Customer: "23317894", Priority: 2, Service: "PS", Outcome: "HANG",
				Opened: at("08:09:16"), Queued: at("08:09:22"), Closed: at("08:09:27"),
			},
		},
		{
			name: "a call that was passed on to nobody",
			row:  "AA0101\t34537\t0\t0\tPS\t990201\t7:31:45\t7:31:55\t10\t0:00:00\t0:00:00\t0\tAGENT\t7:31:54\t7:31:59\t5\tNO_SERVER",
			want: Call{
				ID: "990201-AA0101-34537", Service: "PS", Outcome: "AGENT", Opened: at("07:31:45"), Closed: at("07:31:59"),
			},
		},
		{
			name: "steps that run backwards",
			row:  "AA0101\t1\t7\t2\tPS\t990201\t8:19:42\t8:19:47\t5\t8:19:40\t8:20:21\t34\tAGENT\t8:19:30\t8:19:35\t5\tMICHAL",
			want: Call{
				ID: "990201-AA0101-1", Customer: "7", Priority: 2, Service: "PS", Outcome: "AGENT", Agent: "MICHAL",
				Opened: at("08:19:42"), Queued: at("08:19:42"), Responded: at("08:19:42"), Closed: at("08:19:42"),
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			calls, err := ReadCalls(strings.NewReader(header+test.row+"\n"), time.UTC)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]Call{test.want}, calls); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestABrokenRowIsRefusedWithItsLine(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]string{
		"too few fields": "AA0101\t1",
		"no clock":       "AA\t1\t0\t0\tPS\t990201\tx\t7:31:55\t1\t0:00:00\t0:00:00\t0\tHANG\t0:00:00\t0:00:00\t0\tNO_SERVER",
		"hour 24":        "AA\t1\t0\t0\tPS\t990201\t24:00:00\t7:31:55\t1\t0:00:00\t0:00:00\t0\tHANG\t0:00:00\t0:00:00\t0\tNO_SERVER",
		"no date":        "AA\t1\t0\t0\tPS\t99-02-01\t1:00:00\t7:31:55\t1\t0:00:00\t0:00:00\t0\tHANG\t0:00:00\t0:00:00\t0\tNO_SERVER",
		"no priority":    "AA\t1\t0\t?\tPS\t990201\t1:00:00\t7:31:55\t1\t0:00:00\t0:00:00\t0\tHANG\t0:00:00\t0:00:00\t0\tNO_SERVER",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ReadCalls(strings.NewReader(header+row+"\n"), time.UTC)
			if err == nil || !strings.Contains(err.Error(), "line 2") {
				t.Errorf("got %v, want an error that names line 2", err)
			}
		})
	}
}
