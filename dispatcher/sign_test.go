package dispatcher

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/throughline/throughline/schema/webhook"
)

func TestTheOfficialLibraryVerifiesOurSignatures(t *testing.T) {
	t.Parallel()
	older, newer := newSecret(), newSecret()
	body := []byte(`{"type":"event.linked","data":{"name":"é"}}`)
	at := time.Now()
	value, err := signature([]webhook.Secret{{Value: newer}, {Value: older}}, "msg_1", at, body)
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{}
	header.Set(headerID, "msg_1")
	header.Set(headerTimestamp, strconv.FormatInt(at.Unix(), 10))
	header.Set(headerSignature, value)
	for name, secret := range map[string]string{"the new secret": newer, "the one before": older} {
		receiver, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := receiver.Verify(body, header); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := receiver.Verify(append([]byte(" "), body...), header); err == nil {
			t.Errorf("%s verifies another body", name)
		}
	}
	stranger, err := standardwebhooks.NewWebhook(newSecret())
	if err != nil {
		t.Fatal(err)
	}
	if err := stranger.Verify(body, header); err == nil {
		t.Error("any secret verifies")
	}
	if _, err := signature([]webhook.Secret{{Value: "whsec_short"}}, "msg_1", at, body); err == nil {
		t.Error("a secret that is none signs")
	}
}

// TestSignaturesAreThoseOfTheSpecification uses an example whose signature was made by other means, so that a mistake that
// signer and verifier share shows.
func TestSignaturesAreThoseOfTheSpecification(t *testing.T) {
	t.Parallel()
	got, err := signature([]webhook.Secret{{Value: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}, "msg_p5jXN8AQM9LWM0D4loKWxJek",
		time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
