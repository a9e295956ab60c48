package dispatcher

import (
	"net/url"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/webhook"
)

func TestAURLOfAServiceThatTakesAnotherFormatIsRefused(t *testing.T) {
	t.Parallel()
	const slack, teams, json = webhook.FormatSlack, webhook.FormatTeams, webhook.FormatJSON
	for _, tt := range []struct{ format, url, pointer string }{
		{slack, "https://hooks.slack.com/services/T0/B0/x", ""},
		{slack, "https://HOOKS.slack-gov.com./services/T0/B0/x", ""},
		{slack, "https://chat.example.com/hooks/x", ""},
		{slack, "https://hooks.slack.com/triggers/T0/1/x", "/url"},
		{slack, "https://example.slack.com/archives/C0", "/url"},
		{slack, "https://prod-1.westus.logic.azure.com:443/workflows/x", "/format"},
		{json, "https://hooks.slack.com/services/T0/B0/x", "/format"},
		{json, "https://hooks.slack.com/triggers/T0/1/x", ""},
		{json, "https://prod-1.westus.logic.azure.com:443/workflows/x", ""},
		{json, "https://notslack.com/services/x", ""},
		{teams, "https://prod-1.westus.logic.azure.com:443/workflows/x", ""},
		{teams, "https://x.environment.api.powerplatform.com/workflows/x", ""},
		{teams, "https://relay.example.com/teams", ""},
		{teams, "https://acme.webhook.office.com/webhookb2/x", "/url"},
		{teams, "https://outlook.office.com/webhook/x", "/url"},
		{teams, "https://hooks.slack.com/services/T0/B0/x", "/format"},
		{teams, "https://slack.com/x", "/format"},
	} {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		if pointer, detail := misfit(tt.format, u); pointer != tt.pointer || (detail == "") != (pointer == "") {
			t.Errorf("%s at %s: got %q (%s), want %q", tt.format, tt.url, pointer, detail, tt.pointer)
		}
	}
}

func TestEndpointsOfOneChannelShareItsBudget(t *testing.T) {
	t.Parallel()
	b := &budgets{byURL: map[string]*budget{}}
	at := func(url, format string, perSecond *float64) *lane {
		l := &lane{width: 8}
		b.limit(l, &target{Endpoint: &webhook.Endpoint{Format: format, RateLimit: perSecond}, private: privateOf(url)})
		return l
	}
	own := 0.5
	one, two, other := at("https://a", webhook.FormatSlack, nil), at("https://a", webhook.FormatSlack, &own), at("https://b", webhook.FormatSlack, nil)
	if one.budget == nil || one.budget != two.budget || one.budget == other.budget {
		t.Error("the budget is not that of the URL")
	}
	if one.limit != slackRate || two.limit != own {
		t.Errorf("the lanes have the rates %g and %g", one.limit, two.limit)
	}
	now := time.Now()
	if !one.budget.AllowN(now, 1) || two.budget.AllowN(now.Add(900*time.Millisecond), 1) || !two.budget.AllowN(now.Add(1100*time.Millisecond), 1) {
		t.Error("a channel of Slack does not get one message a second")
	}
	teams := at("https://a", webhook.FormatTeams, nil)
	sent := 0
	for ms := range 1000 {
		if teams.budget.AllowN(now.Add(time.Duration(ms)*time.Millisecond), 1) {
			sent++
		}
	}
	if sent != teamsRate {
		t.Errorf("a flow of Teams gets %d messages in a second", sent)
	}
	if plain := at("https://a", webhook.FormatJSON, nil); plain.budget != nil || plain.limit != 0 {
		t.Errorf("an endpoint of no service is kept to %g", plain.limit)
	}
	b.sweep(now.Add(2 * time.Hour))
	if len(b.byURL) > 0 {
		t.Errorf("%d budgets are kept for ever", len(b.byURL))
	}
}
