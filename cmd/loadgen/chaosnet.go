package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// network gives each node of a rig an address of its own. With privileges
// every node is a network namespace behind a bridge, as machines are behind a
// switch, and links can be cut; without, the addresses are on loopback and
// they cannot.
type network struct {
	bridge string // empty on loopback
	prefix string // the first three bytes of every address
	mu     sync.Mutex
	nodes  map[string]*netNode
}

// netNode is one address.
type netNode struct {
	name, ip  string
	namespace string // empty on loopback
	veth      string // the bridge's end of its link
}

// errNoNetwork says that this process may not make network namespaces.
var errNoNetwork = errors.New("network namespaces are not permitted here")

// openNetwork makes a network; loopback asks for the kind without namespaces.
// An error that is errNoNetwork leaves nothing behind.
func openNetwork(loopback bool) (*network, error) {
	n := &network{nodes: map[string]*netNode{}, prefix: "127.77." + strconv.Itoa(os.Getpid()%200+20)}
	if loopback {
		return n, nil
	}
	removeLeftovers()
	var err error
	for try := range 200 { // 198.18.0.0/15 is for measurements of networks and used by nothing else
		x := (os.Getpid() + try) % 250
		n.prefix, n.bridge = fmt.Sprintf("198.18.%d", x), fmt.Sprintf("chaos%d", x)
		if err = ip("link", "add", n.bridge, "type", "bridge"); err == nil {
			break
		}
		if !strings.Contains(err.Error(), "File exists") {
			return nil, fmt.Errorf("%w: %w", errNoNetwork, err)
		}
	}
	if err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"link", "set", n.bridge, "alias", namespacePrefix + strconv.Itoa(os.Getpid()), "up"},
		{"addr", "add", n.host() + "/24", "dev", n.bridge},
	} {
		if err := ip(args...); err != nil {
			n.close()
			return nil, fmt.Errorf("%w: %w", errNoNetwork, err)
		}
	}
	return n, nil
}

// host is the address of this process in the network.
func (n *network) host() string { return n.prefix + ".1" }

// canCut tells whether links can be cut.
func (n *network) canCut() bool { return n.bridge != "" }

// add makes a node.
func (n *network) add(name string) (*netNode, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	node := &netNode{name: name, ip: fmt.Sprintf("%s.%d", n.prefix, len(n.nodes)+2)}
	n.nodes[name] = node
	if !n.canCut() {
		return node, nil
	}
	node.namespace = namespacePrefix + strconv.Itoa(os.Getpid()) + "-" + name
	node.veth = fmt.Sprintf("%s.%d", n.bridge, len(n.nodes)) // at most 15 characters
	for _, args := range [][]string{
		{"netns", "add", node.namespace},
		{"link", "add", node.veth, "type", "veth", "peer", "name", "eth0", "netns", node.namespace},
		{"link", "set", node.veth, "master", n.bridge, "up"},
		{"-n", node.namespace, "addr", "add", node.ip + "/24", "dev", "eth0"},
		{"-n", node.namespace, "link", "set", "eth0", "up"},
		{"-n", node.namespace, "link", "set", "lo", "up"},
	} {
		if err := ip(args...); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoNetwork, err)
		}
	}
	return node, nil
}

// command is what stands before a program's name so that it runs on the node.
func (node *netNode) command() []string {
	if node.namespace == "" {
		return nil
	}
	return []string{"ip", "netns", "exec", node.namespace}
}

// free is a port of the node that nobody has: a fixed one in a namespace.
func (node *netNode) free(port int) (string, error) {
	if node.namespace != "" {
		return net.JoinHostPort(node.ip, strconv.Itoa(port)), nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort(node.ip, "0"))
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// isolate pulls the node's cable, or plugs it in again.
func (n *network) isolate(node *netNode, cut bool) error {
	state := "up"
	if cut {
		state = "down"
	}
	return ip("link", "set", node.veth, state)
}

// nowhere is a hardware address that no node has: what is sent there vanishes,
// as on a dead link, without anybody being told.
const nowhere = "02:00:00:00:00:ff"

// cut lets everything from a to b vanish, and what b sends to a unless oneWay.
// This process is the node nil.
func (n *network) cut(a, b *netNode, oneWay bool) error {
	if err := n.vanish(a, n.ipOf(b)); err != nil || oneWay {
		return err
	}
	return n.vanish(b, n.ipOf(a))
}

func (n *network) ipOf(node *netNode) string {
	if node == nil {
		return n.host()
	}
	return node.ip
}

func (n *network) vanish(from *netNode, to string) error {
	return ip(from.neigh(n, "replace", to, "lladdr", nowhere, "nud", "permanent")...)
}

// mend ends a cut. A link that is whole stays so.
func (n *network) mend(a, b *netNode) {
	_ = ip(a.neigh(n, "del", n.ipOf(b))...) // it may never have been cut, or in one direction only
	_ = ip(b.neigh(n, "del", n.ipOf(a))...)
}

// neigh is a command about a neighbour of the node.
func (node *netNode) neigh(n *network, verb, to string, more ...string) []string {
	args := []string{"neigh", verb, to, "dev", n.bridge}
	if node != nil {
		args = []string{"-n", node.namespace, "neigh", verb, to, "dev", "eth0"}
	}
	return append(args, more...)
}

// close removes the namespaces and the bridge. What runs in them must have ended.
func (n *network) close() {
	if !n.canCut() {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, node := range n.nodes {
		_ = ip("link", "del", node.veth) // goes with the namespace, too, but later
		_ = ip("netns", "del", node.namespace)
	}
	_ = ip("link", "del", n.bridge)
}

const namespacePrefix = "breakwater-chaos-"

// removeLeftovers removes the namespaces and bridges of runs that were killed.
// Their names hold the id of the process that made them.
func removeLeftovers() {
	spaces, _ := filepath.Glob("/var/run/netns/" + namespacePrefix + "*") // the pattern is sound
	for _, path := range spaces {
		if name := filepath.Base(path); dead(name) {
			_ = ip("netns", "del", name)
		}
	}
	aliases, _ := filepath.Glob("/sys/class/net/chaos*/ifalias")
	for _, path := range aliases {
		if name, err := os.ReadFile(path); err == nil && dead(string(name)) {
			_ = ip("link", "del", filepath.Base(filepath.Dir(path)))
		}
	}
}

// dead tells whether a thing is ours and its maker has ended.
func dead(name string) bool {
	rest, ours := strings.CutPrefix(strings.TrimSpace(name), namespacePrefix)
	word, _, _ := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(word)
	return ours && err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
