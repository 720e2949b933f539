//go:build !race

package sample

// slower is how much smaller large tests are under the race detector.
const slower = 1
