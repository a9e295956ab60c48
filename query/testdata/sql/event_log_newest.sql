SELECT event_id, max(received_at)
FROM event_log
WHERE workspace = {ws:String}
  AND event_id IN {ids:Array(String)}
  AND received_at >= fromUnixTimestamp64Milli({oldest:Int64}, 'UTC')
GROUP BY event_id
