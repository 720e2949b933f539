//go:build race

package main

// raceDetector is on: pools lose things on purpose, and allocations say nothing.
const raceDetector = true
