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
	st, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "x", Subjects: []string{"x"}, Replicas: 3})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "x", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	leader := c.Leader("x")
	if leader < 0 {
		t.Fatal("the stream has no leader")
	}
	pid := c.PID(leader)
	c.Kill(leader)
	if c.PID(leader) != 0 {
		t.Fatal("the killed server lives")
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		if m, err := st.GetMsg(t.Context(), 1); err == nil && string(m.Data) == "kept" {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("reading without the old leader: %v", err)
		}
	}
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
