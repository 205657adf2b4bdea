// noble/post-quantum verifies signatures, and makes keys out of seeds (FIPS 204).

import { readFileSync } from 'node:fs'
import { ml_dsa65, ml_dsa87 } from '@noble/post-quantum/ml-dsa.js'

const kinds = { 'ML-DSA-65': ml_dsa65, 'ML-DSA-87': ml_dsa87 }
const bytes = (text) => new Uint8Array(Buffer.from(text, 'base64'))
const { signatures, seeds } = JSON.parse(readFileSync(0, 'utf8'))

const verified = signatures.map(({ kind, key, message, signature }) =>
  kinds[kind].verify(bytes(signature), bytes(message), bytes(key)),
)
const keys = seeds.map(({ kind, seed }) =>
  Buffer.from(kinds[kind].keygen(bytes(seed)).publicKey).toString('base64'),
)
process.stdout.write(JSON.stringify({ verified, keys }))
