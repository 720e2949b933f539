//go:build !race

package storm

// slower is how much smaller large tests are under the race detector.
const slower = 1
