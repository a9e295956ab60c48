SELECT event_id, primary_type, primary_id, kind, link, via, name, description, icon, source, payload, transition, occurred_at, received_at
FROM timeline
WHERE workspace = {ws:String}
  AND object_type = {type:String}
  AND object_id = {id:String}
  AND name IN {name:Array(String)}
  AND source = {source:String}
  AND kind = {kind:String}
  AND occurred_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
  AND occurred_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND hasAllTokens(words, {words_a:Array(String)})
ORDER BY workspace DESC, object_type DESC, object_id DESC, occurred_at DESC, event_id DESC, primary_type DESC, primary_id DESC
LIMIT 21
