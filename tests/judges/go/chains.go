// Ask Go's crypto/x509 about each directory that tests/judges/chains.py has written.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

var usages = map[string]x509.ExtKeyUsage{
	"server":    x509.ExtKeyUsageServerAuth,
	"client":    x509.ExtKeyUsageClientAuth,
	"answers":   x509.ExtKeyUsageOCSPSigning,
	"authority": x509.ExtKeyUsageAny,
}

func main() {
	for _, place := range os.Args[1:] {
		said := "good"
		if err := verify(place); err != nil {
			said = "bad " + strings.ReplaceAll(err.Error(), "\n", " ")
		}
		fmt.Println(filepath.Base(place), said)
	}
}

func verify(place string) error {
	text, err := os.ReadFile(filepath.Join(place, "asked"))
	if err != nil {
		panic(err)
	}
	asked := strings.Fields(string(text))
	leaf := read(place, "leaf.pem")[0]
	how := x509.VerifyOptions{
		Roots:         pool(place, "root.pem"),
		Intermediates: pool(place, "between.pem"),
		KeyUsages:     []x509.ExtKeyUsage{usages[asked[0]]},
	}
	if asked[0] == "server" {
		how.DNSName = asked[1]
	}
	if asked[0] == "authority" && !leaf.IsCA {
		return fmt.Errorf("it is no CA")
	}
	_, err = leaf.Verify(how)
	return err
}

func pool(place, name string) *x509.CertPool {
	found := x509.NewCertPool()
	for _, certificate := range read(place, name) {
		found.AddCert(certificate)
	}
	return found
}

func read(place, name string) []*x509.Certificate {
	rest, err := os.ReadFile(filepath.Join(place, name))
	if err != nil {
		panic(err)
	}
	var found []*x509.Certificate
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return found
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			panic(err)
		}
		found = append(found, certificate)
	}
}
