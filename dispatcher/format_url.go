package dispatcher

import (
	"net/url"
	"slices"
	"strings"

	"github.com/throughline/throughline/schema/webhook"
)

// slackHosts are where Slack takes messages. Others take messages in its format too, so that no host is asked for.
func slackHosts() []string { return []string{"hooks.slack.com", "hooks.slack-gov.com"} }

// misfit says which member of an endpoint is wrong, and why, where its URL is that of a service which takes another format:
// every delivery would fail, and nobody would know why.
func misfit(format string, u *url.URL) (pointer, detail string) {
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	slack, message := slackURL(host, u.Path)
	switch {
	case slack && message && format != webhook.FormatSlack:
		return "/format", "must be slack for an incoming webhook of Slack"
	case slack && !message && format == webhook.FormatSlack:
		return "/url", "must be an incoming webhook of Slack: https://hooks.slack.com/services/…"
	case slack && format == webhook.FormatTeams:
		return "/format", "must not be teams for a URL of Slack"
	case connectorURL(host, u.Path):
		return "/url", "is a connector of Office 365; Microsoft has retired them: make a flow in Teams (Workflows) and use its URL"
	case flowURL(host) && format == webhook.FormatSlack:
		return "/format", "must not be slack for a flow of Teams"
	default:
		return "", ""
	}
}

// slackURL says whether a URL is Slack's, and whether it takes messages. Workflows of Slack (/triggers/) take any JSON.
func slackURL(host, path string) (slack, message bool) {
	if slices.Contains(slackHosts(), host) {
		return true, strings.HasPrefix(path, "/services/")
	}
	return host == "slack.com" || strings.HasSuffix(host, ".slack.com"), false
}

func connectorURL(host, path string) bool {
	return strings.HasSuffix(host, ".webhook.office.com") ||
		(host == "outlook.office.com" || host == "outlook.office365.com") && strings.HasPrefix(path, "/webhook/")
}

// flowURL says whether a URL is where Microsoft runs flows.
func flowURL(host string) bool {
	return strings.HasSuffix(host, ".logic.azure.com") || strings.HasSuffix(host, ".api.powerplatform.com")
}
