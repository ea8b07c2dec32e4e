"""The words that cloudflared knows in a configuration; any other it ignores, most without a sound.

Source: cloudflared config/configuration.go, cmd/cloudflared/flags and cmd/cloudflared/tunnel/cmd.go at
2026.8.2: every flag of `cloudflared tunnel` is also a key at the top of its file.
"""

from __future__ import annotations

RULE = frozenset({"hostname", "path", "service", "originRequest"})
ACCESS = frozenset({"required", "teamName", "audTag", "environment"})
DURATIONS = frozenset({"connectTimeout", "tlsTimeout", "tcpKeepAlive", "keepAliveTimeout"})
ORIGIN_REQUEST = DURATIONS | {
    "noHappyEyeballs",
    "keepAliveConnections",
    "httpHostHeader",
    "originServerName",
    "matchSNItoHost",
    "caPool",
    "noTLSVerify",
    "disableChunkedEncoding",
    "bastionMode",
    "proxyAddress",
    "proxyPort",
    "proxyType",
    "ipRules",
    "http2Origin",
    "access",
}
# What the API keeps with a tunnel.
REMOTE = frozenset({"ingress", "originRequest", "warp-routing"})

# Keys that make a whole tunnel of one service, or a jump host of the machine.
SINGLE_SERVICE = frozenset(
    {"url", "unix-socket", "hello-world", "socks5", "bastion", "ssh-server", "hostname", "lb-pool"}
)
_FLAGS = """
    tunnel credentials-file credentials-contents token token-file origincert config name id
    protocol edge region edge-ip-version edge-bind-address cacert post-quantum features
    retries max-edge-addr-retries ha-connections rpc-timeout write-stream-timeout dial-edge-timeout
    quic-disable-pmtu-discovery quic-connection-level-flow-control-limit
    quic-stream-level-flow-control-limit max-active-flows heartbeat-interval heartbeat-count
    grace-period no-autoupdate autoupdate-freq is-autoupdated no-prechecks pidfile
    metrics metrics-update-freq management-diagnostics management-hostname service-op-ip
    loglevel transport-loglevel proto-loglevel logfile log-directory output trace-output tag label
    icmpv4-src icmpv6-src dns-resolver-addrs api-url compression-quality use-reconnect-token
    stdin-control ui quick-service max-fetch-size force overwrite-dns
    proxy-connect-timeout proxy-tls-timeout proxy-tcp-keepalive proxy-no-happy-eyeballs
    proxy-keepalive-connections proxy-keepalive-timeout proxy-connection-timeout
    proxy-expect-continue-timeout proxy-address proxy-port http-host-header origin-server-name
    origin-ca-pool no-tls-verify no-chunked-encoding http2-origin
"""
FILE = REMOTE | SINGLE_SERVICE | frozenset(_FLAGS.split())
