//go:build !race

package limit

// slower is how much smaller large tests are under the race detector.
const slower = 1
