package natstest

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A cluster keeps what it confirmed when its leader is killed, and a frozen
// server answers again when it is resumed.
func TestCluster(t *testing.T) {
	c := Start(t, Options{Nodes: 3})
	conn, err := nats.Connect(c.URL(), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	var st jetstream.Stream
	again(t, "making a stream", func() (err error) {
		st, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "x", Subjects: []string{"x"}, Replicas: 3})
		return err
	})
	again(t, "publishing", func() error {
		_, err := js.Publish(t.Context(), "x", []byte("kept"))
		return err
	})
	leader := c.Leader("x")
	if leader < 0 {
		t.Fatal("the stream has no leader")
	}
	pid := c.PID(leader)
	c.Kill(leader)
	if c.PID(leader) != 0 {
		t.Fatal("the killed server lives")
	}
	again(t, "reading without the old leader", func() error {
		m, err := st.GetMsg(t.Context(), 1)
		if err == nil && string(m.Data) != "kept" {
			t.Fatalf("the message became %q", m.Data)
		}
		return err
	})
	if err := c.Restart(leader); err != nil {
		t.Fatal(err)
	}
	c.Pause((leader + 1) % 3)
	c.Resume((leader + 1) % 3)
	if err := c.Ready(time.Minute); err != nil {
		t.Fatal(err)
	}
	if c.PID(leader) == pid {
		t.Fatal("the restarted server is the old one")
	}
	c.Stop(leader)
}

// again repeats what a cluster may refuse or leave unanswered while its servers
// get to know each other, at most for a minute.
func again(t *testing.T, what string, do func() error) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		err := do()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}
