SELECT event_id, primary_type, primary_id, kind, link, via, name, description, icon, source, payload, transition, occurred_at, received_at
FROM timeline
WHERE workspace = {ws:String}
  AND link = 'primary'
  AND hasAllTokens(words, {words_a:Array(String)})
ORDER BY occurred_at DESC, event_id DESC, primary_type DESC, primary_id DESC
LIMIT 51
