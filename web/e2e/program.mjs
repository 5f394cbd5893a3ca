/** A program that signs in with an access token: one gRPC-Web call by hand. */

/** What `GetMe` answers with this token: the code of gRPC, and what the answer says as text. */
export async function asksWhoItIs(url, token) {
  const response = await fetch(`${url}/loquat.auth.v1.UserService/GetMe`, {
    method: 'POST',
    headers: { 'content-type': 'application/grpc-web+proto', 'x-grpc-web': '1', authorization: `Bearer ${token}` },
    // An empty message: no flags, no length.
    body: new Uint8Array(5),
  });
  const text = Buffer.from(await response.arrayBuffer()).toString('latin1');
  const code = response.headers.get('grpc-status') ?? /grpc-status:\s*(\d+)/.exec(text)?.[1];
  return { code: Number(code), text };
}

export const OK = 0;
export const UNAUTHENTICATED = 16;
