// A client of either TypeScript SDK that logs in: one JSON line in, one JSON line out; before an answer there may
// be lines {"open": url}, for whoever is at the browser.
//   node login.mjs '{"sdk": "v2", "mode": "auto", "url": "http://…/mcp"}'
import { createServer } from "node:http";
import { createInterface } from "node:readline";

const wanted = JSON.parse(process.argv[2]);
const who = { name: "brain-mcp-tests", version: "1" };
const say = (line) => console.log(JSON.stringify(line));

let answered; // resolves with the parameters of the next callback
const callbacks = createServer((request, response) => {
  response.end("You can close this window.");
  const { pathname, searchParams } = new URL(request.url, "http://127.0.0.1");
  if (pathname === "/callback") {
    answered?.(searchParams);
  }
});
await new Promise((resolve) => callbacks.listen(0, "127.0.0.1", resolve));
const redirectUrl = `http://127.0.0.1:${callbacks.address().port}/callback`;

/** As small as the SDKs allow: everything in memory. */
class Provider {
  redirectUrl = redirectUrl;
  clientMetadata = {
    client_name: `TypeScript ${wanted.sdk}`,
    redirect_uris: [redirectUrl],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  };

  state() {
    this.expected = crypto.randomUUID();
    return this.expected;
  }
  clientInformation = () => this.information;
  saveClientInformation = (information) => void (this.information = information);
  tokens = () => this.saved;
  saveTokens = (tokens) => void (this.saved = tokens);
  saveCodeVerifier = (verifier) => void (this.verifier = verifier);
  codeVerifier = () => this.verifier;
  saveDiscoveryState = (state) => void (this.discovered = state);
  discoveryState = () => this.discovered;
  redirectToAuthorization(url) {
    this.callback = new Promise((resolve) => (answered = resolve));
    say({ open: url.href });
  }
  invalidateCredentials(scope) {
    if (scope === "all" || scope === "client") this.information = undefined;
    if (scope === "all" || scope === "tokens") this.saved = undefined;
    if (scope === "all" || scope === "discovery") this.discovered = undefined;
  }
}

async function sdk() {
  if (wanted.sdk === "v2") {
    const module = await import("@modelcontextprotocol/client");
    return { ...module, client: () => new module.Client(who, { versionNegotiation: { mode: wanted.mode } }) };
  }
  const path = "@modelcontextprotocol/sdk/client";
  const { Client } = await import(`${path}/index.js`);
  return {
    ...(await import(`${path}/streamableHttp.js`)),
    ...(await import(`${path}/auth.js`)),
    client: () => new Client(who),
  };
}

const { client: newClient, StreamableHTTPClientTransport, UnauthorizedError } = await sdk();
const provider = new Provider();
let client, wire;

async function connected() {
  if (!client) {
    wire = new StreamableHTTPClientTransport(new URL(wanted.url), { authProvider: provider });
    const made = newClient();
    await made.connect(wire);
    client = made;
  }
  return client;
}

/** The SDKs leave it to the program to wait for the person, and to try again. */
async function withLogin(act) {
  try {
    return await act(await connected());
  } catch (problem) {
    if (!(problem instanceof UnauthorizedError) || !provider.callback) throw problem;
    const parameters = await provider.callback;
    provider.callback = undefined;
    if (parameters.get("state") !== provider.expected) throw new Error("the state is another one");
    await wire.finishAuth(wanted.sdk === "v2" ? parameters : parameters.get("code"));
    return await act(await connected());
  }
}

async function answer(asked) {
  if (asked.token) {
    return { token: provider.saved?.refresh_token, client_id: provider.information?.client_id };
  }
  if (!asked.tool) {
    return { tools: (await withLogin((client) => client.listTools())).tools.map((tool) => tool.name) };
  }
  const result = await withLogin((client) => client.callTool({ name: asked.tool, arguments: asked.arguments }));
  return { error: result.isError ?? false, text: (result.content ?? []).map((block) => block.text ?? "").join("\n") };
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    say(await answer(JSON.parse(line)));
  } catch (problem) {
    say({ problem: `${problem.name}: ${problem.message}` });
  }
}
callbacks.close();
process.exit(0);
