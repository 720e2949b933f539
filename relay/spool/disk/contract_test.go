package disk

import (
	"testing"

	"breakwater/relay/spool"
	"breakwater/relay/spool/spooltest"
)

func TestContract(t *testing.T) {
	spooltest.Run(t, func(t *testing.T) spooltest.Harness {
		dir := t.TempDir()
		return spooltest.Harness{
			Open: func(t testing.TB, o spooltest.Options) spool.Spool {
				s, err := Open(Config{
					Dir: dir, MaxSize: o.MaxSize, MinFree: -1, MaxAge: o.MaxAge, ProjectShare: o.ProjectShare,
					DeadLetterSize: o.DeadLetterSize, Now: o.Now, Observer: o.Observer,
				})
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			Tick: func(s spool.Spool) { s.(*Spool).Tick() },
		}
	})
}
