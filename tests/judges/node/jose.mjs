// jose makes and reads JWTs for tests, as long as they ask: one JSON line each way.

import { createInterface } from 'node:readline'
import * as jose from 'jose'

const answers = {
  async key({ alg }) {
    if (alg === 'HS256') {
      const { k } = await jose.exportJWK(new Uint8Array(32).fill(7))
      return { kty: 'oct', k }
    }
    const { privateKey } = await jose.generateKeyPair(alg, { extractable: true })
    return jose.exportJWK(privateKey)
  },
  thumbprint({ jwk }) {
    return jose.calculateJwkThumbprint(jwk)
  },
  async sign({ header, claims, jwk }) {
    const key = await jose.importJWK(jwk, header.alg)
    return new jose.SignJWT(claims).setProtectedHeader(header).sign(key)
  },
  async verify({ text, jwk, alg, typ }) {
    const key = await jose.importJWK(jwk, alg)
    const { payload } = await jose.jwtVerify(text, key, { algorithms: [alg], typ })
    return payload
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { ask, ...given } = JSON.parse(line)
  let answer
  try {
    answer = { said: await answers[ask](given) }
  } catch (error) {
    answer = { refused: error.code ?? error.message }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
