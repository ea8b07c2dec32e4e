@0xb0e1a1f0c2d3e4f5;
# What of cloudflared's tunnelrpc.capnp a registration needs: on the wire only the layout and the interface's id count.
struct ClientInfo { clientId @0 :Data; features @1 :List(Text); version @2 :Text; arch @3 :Text; }
struct ConnectionOptions { client @0 :ClientInfo; originLocalIp @1 :Data; replaceExisting @2 :Bool; compressionQuality @3 :UInt8; numPreviousAttempts @4 :UInt8; }
struct ConnectionError { cause @0 :Text; retryAfter @1 :Int64; shouldRetry @2 :Bool; }
struct ConnectionDetails { uuid @0 :Data; locationName @1 :Text; tunnelIsRemotelyManaged @2 :Bool; }
struct ConnectionResponse { result :union { error @0 :ConnectionError; connectionDetails @1 :ConnectionDetails; } }
struct TunnelAuth { accountTag @0 :Text; tunnelSecret @1 :Data; }
interface RegistrationServer @0xf71695ec7fe85497 {
  registerConnection @0 (auth :TunnelAuth, tunnelId :Data, connIndex :UInt8, options :ConnectionOptions) -> (result :ConnectionResponse);
  unregisterConnection @1 () -> ();
  updateLocalConfiguration @2 (config :Data) -> ();
}
