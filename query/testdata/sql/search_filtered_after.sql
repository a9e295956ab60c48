SELECT event_id, primary_type, primary_id, kind, link, via, name, description, icon, source, payload, transition, occurred_at, received_at
FROM timeline
WHERE workspace = {ws:String}
  AND link = 'primary'
  AND object_type IN {type:Array(String)}
  AND name = {name:String}
  AND source = {source:String}
  AND occurred_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
  AND occurred_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND (hasAllTokens(words, {words_a:Array(String)}) OR hasAllTokens(words, {words_b:Array(String)}))
  AND occurred_at <= fromUnixTimestamp64Milli({after_time:Int64}, 'UTC')
  AND (occurred_at, event_id, primary_type, primary_id) < (fromUnixTimestamp64Milli({after_time:Int64}, 'UTC'), {after_id:String}, {after_type:String}, {after_object:String})
ORDER BY occurred_at DESC, event_id DESC, primary_type DESC, primary_id DESC
LIMIT 51
