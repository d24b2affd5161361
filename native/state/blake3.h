// BLAKE3's definition: the compression function and the numbers that its tree is made with, for a word of any
// width, so that a register of many lanes, a thread of a GPU and plain C++ compute with the same lines.
// (BLAKE3: one function, fast everywhere; O'Connor, Aumasson, Neves, Wilcox-O'Hearn, 2021;
// sections 2.1, 2.2.)
#pragma once
#include <cstddef>
#include <cstdint>

#include "numeric/exact.h"

namespace gradmesh::blake3 {

// Bytes are cut into chunks, chunks into blocks of sixteen words; a chaining value is eight words. Words are
// little-endian in bytes.
constexpr size_t kBlockBytes = 64, kChunkBytes = 1024, kDigestBytes = 32;
constexpr size_t kBlockWords = 16, kValueWords = 8;

// What a block is, for its domain (table 3).
enum Flag : uint32_t { kChunkStart = 1, kChunkEnd = 2, kParent = 4, kRoot = 8 };

// The first words of SHA-256's state, which begin every chunk and parent of the unkeyed hash (table 1).
struct Start {
  uint32_t words[kValueWords] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                 0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
};

HD uint32_t add(uint32_t a, uint32_t b) { return a + b; }
HD uint32_t exclusive_or(uint32_t a, uint32_t b) { return a ^ b; }
template <int bits>
HD uint32_t rotate_right(uint32_t a) {
  return a >> bits | a << (32 - bits);
}

// The quarter round: two message words into one column or diagonal of the state.
template <class Word>
HD void quarter(Word& a, Word& b, Word& c, Word& d, Word x, Word y) {
  a = add(add(a, x), b);
  d = rotate_right<16>(exclusive_or(d, a));
  c = add(c, d);
  b = rotate_right<12>(exclusive_or(b, c));
  a = add(add(a, y), b);
  d = rotate_right<8>(exclusive_or(d, a));
  c = add(c, d);
  b = rotate_right<7>(exclusive_or(b, c));
}

template <class Word>
HD void mix_round(Word (&v)[16], const Word (&m)[16]) {
  quarter(v[0], v[4], v[8], v[12], m[0], m[1]);
  quarter(v[1], v[5], v[9], v[13], m[2], m[3]);
  quarter(v[2], v[6], v[10], v[14], m[4], m[5]);
  quarter(v[3], v[7], v[11], v[15], m[6], m[7]);
  quarter(v[0], v[5], v[10], v[15], m[8], m[9]);
  quarter(v[1], v[6], v[11], v[12], m[10], m[11]);
  quarter(v[2], v[7], v[8], v[13], m[12], m[13]);
  quarter(v[3], v[4], v[9], v[14], m[14], m[15]);
}

// The order of the message words in the next round (table 2). The rounds are written out, so that it moves no
// data: it only says which register is read.
template <class Word>
HD void permute(Word (&m)[16]) {
  const Word old[16] = {m[0], m[1], m[2],  m[3],  m[4],  m[5],  m[6],  m[7],
                        m[8], m[9], m[10], m[11], m[12], m[13], m[14], m[15]};
  m[0] = old[2], m[1] = old[6], m[2] = old[3], m[3] = old[10];
  m[4] = old[7], m[5] = old[0], m[6] = old[4], m[7] = old[13];
  m[8] = old[1], m[9] = old[11], m[10] = old[12], m[11] = old[5];
  m[12] = old[9], m[13] = old[14], m[14] = old[15], m[15] = old[8];
}

// One block into a chaining value: value[8], message[16] (destroyed), and what fills the state's last row:
// the chunk's number in two words, the block's bytes and its flags.
template <class Word>
HD void compress(Word (&value)[8], Word (&message)[16], Word low, Word high, Word bytes, Word flags,
                 const Word (&start)[4]) {
  Word v[16] = {value[0], value[1], value[2], value[3], value[4], value[5], value[6], value[7],
                start[0], start[1], start[2], start[3], low,      high,     bytes,    flags};
  mix_round(v, message), permute(message);
  mix_round(v, message), permute(message);
  mix_round(v, message), permute(message);
  mix_round(v, message), permute(message);
  mix_round(v, message), permute(message);
  mix_round(v, message), permute(message);
  mix_round(v, message);
  value[0] = exclusive_or(v[0], v[8]), value[1] = exclusive_or(v[1], v[9]);
  value[2] = exclusive_or(v[2], v[10]), value[3] = exclusive_or(v[3], v[11]);
  value[4] = exclusive_or(v[4], v[12]), value[5] = exclusive_or(v[5], v[13]);
  value[6] = exclusive_or(v[6], v[14]), value[7] = exclusive_or(v[7], v[15]);
}

// The same for plain words.
HD void compress_block(uint32_t (&value)[8], uint32_t (&message)[16], uint64_t chunk, uint32_t bytes,
                       uint32_t flags) {
  const Start start;
  const uint32_t first[4] = {start.words[0], start.words[1], start.words[2], start.words[3]};
  compress<uint32_t>(value, message, static_cast<uint32_t>(chunk), static_cast<uint32_t>(chunk >> 32), bytes,
                     flags, first);
}

// children[2][8] -> value[8]: an inner node of the tree; flags is 0 or kRoot.
HD void parent(const uint32_t* children, uint32_t flags, uint32_t* value) {
  const Start start;
  uint32_t result[8], message[16];
  for (size_t i = 0; i < kBlockWords; ++i) message[i] = children[i];
  for (size_t i = 0; i < kValueWords; ++i) result[i] = start.words[i];
  compress_block(result, message, 0, kBlockBytes, kParent | flags);
  for (size_t i = 0; i < kValueWords; ++i) value[i] = result[i];
}

}  // namespace gradmesh::blake3
