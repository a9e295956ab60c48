package dispatcher

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/throughline/throughline/schema/webhook"
)

// The headers of Standard Webhooks 1.0.0.
const (
	headerID        = "webhook-id"
	headerTimestamp = "webhook-timestamp"
	headerSignature = "webhook-signature"
)

// signature is the value of webhook-signature: one signature for each secret, so that a receiver with any of them can
// verify the delivery while one secret takes the place of another.
func signature(secrets []webhook.Secret, id string, at time.Time, body []byte) (string, error) {
	content := make([]byte, 0, len(id)+len(body)+24)
	content = append(content, id...)
	content = append(content, '.')
	content = strconv.AppendInt(content, at.Unix(), 10)
	content = append(content, '.')
	content = append(content, body...)
	all := make([]string, len(secrets))
	for i, s := range secrets {
		key, err := webhook.ParseSecret(s.Value)
		if err != nil {
			return "", fmt.Errorf("sign delivery %s: %w", id, err)
		}
		mac := hmac.New(sha256.New, key)
		mac.Write(content)
		all[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(all, " "), nil
}

// newSecretBytes is the length of the secrets that are made here.
const newSecretBytes = 32

// newSecret makes a signing secret.
func newSecret() string {
	b := make([]byte, newSecretBytes)
	_, _ = rand.Read(b) // it never fails: the runtime ends the process instead
	return webhook.SecretPrefix + base64.StdEncoding.EncodeToString(b)
}
