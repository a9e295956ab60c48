SELECT event_id, primary_type, primary_id, kind, link, via, name, description, icon, source, payload, transition, occurred_at, received_at
FROM timeline
WHERE workspace = {ws:String}
  AND object_type = {type:String}
  AND object_id = {id:String}
  AND occurred_at <= fromUnixTimestamp64Milli({after_time:Int64}, 'UTC')
  AND (occurred_at, event_id, primary_type, primary_id) < (fromUnixTimestamp64Milli({after_time:Int64}, 'UTC'), {after_id:String}, {after_type:String}, {after_object:String})
ORDER BY workspace DESC, object_type DESC, object_id DESC, occurred_at DESC, event_id DESC, primary_type DESC, primary_id DESC
LIMIT 51
