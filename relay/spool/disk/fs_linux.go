package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// datasync writes the data and the length, not the times: one journal write
// less per commit.
func datasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
