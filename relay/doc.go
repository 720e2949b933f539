// Package relay is the way out: from a promise to a delivery.
package relay
