//go:build race

package scrub

const raceDetector = true
