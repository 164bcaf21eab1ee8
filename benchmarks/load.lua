-- Sends the requests of a file in turn, a line each: method, path and body, with tabs between; reports as JSON.
local requests, index = {}, 0

function init(args)
  for line in io.lines(args[1]) do
    local method, path, body = line:match("^(%u+)\t([^\t]+)\t?(.*)$")
    local headers = { ["content-type"] = "application/json" }
    requests[#requests + 1] = wrk.format(method, path, headers, body ~= "" and body or nil)
  end
end

function request()
  index = index % #requests + 1
  return requests[index]
end

function done(summary, latency, _)
  local errors = summary.errors
  local unanswered = errors.connect + errors.read + errors.write + errors.timeout
  local form = '\nREPORT {"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"unanswered":%d,"refused":%d}\n'
  local half, most = latency:percentile(50) / 1e3, latency:percentile(99) / 1e3
  io.write(form:format(summary.requests, summary.duration / 1e6, half, most, unanswered, errors.status))
end
