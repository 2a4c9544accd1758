#include "runtime/sha256.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>

/* FIPS 180-4, §4.2.2 */
static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static bool has_instructions(void)
{
    unsigned a, b, c, d;
    bool has_sse = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSSE3) && (c & bit_SSE4_1);
    return has_sse && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

bool sha256_is_fast(void)
{
    static atomic_int known; /* 0: not yet. A virtual machine is left for each question. */
    if (known == 0)
        known = has_instructions() ? 1 : 2;
    return known == 1;
}

/* Words 4 × group to 4 × group + 3 of the message schedule, in the place of those 16 before them.
 */
__attribute__((target("sha,sse4.1,ssse3"))) static inline void next_words(__m128i words[4],
                                                                          int group)
{
    __m128i sevenths =
        _mm_alignr_epi8(words[(group + 3) & 3], words[(group + 2) & 3], 4); /* W[t - 7] */
    __m128i sum = _mm_sha256msg1_epu32(words[group & 3], words[(group + 1) & 3]);
    words[group & 3] = _mm_sha256msg2_epu32(_mm_add_epi32(sum, sevenths), words[(group + 3) & 3]);
}

/* The instructions want the state as two vectors: a, b, e, f and c, d, g, h. */
__attribute__((target("sha,sse4.1,ssse3"))) void sha256_take_blocks(uint32_t state[8],
                                                                    const uint8_t *data,
                                                                    size_t count)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const void *)state), 0xb1);
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const void *)(state + 4)), 0x1b);
    __m128i abef = _mm_alignr_epi8(low, high, 8);
    __m128i cdgh = _mm_blend_epi16(high, low, 0xf0);
    for (; count > 0; count--, data += SHA256_BLOCK_BYTES) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i words[4];
        for (int i = 0; i < 4; i++)
            words[i] = _mm_shuffle_epi8(_mm_loadu_si128((const void *)(data + (size_t)i * 16)),
                                        big_endian);
#pragma GCC unroll 16
        for (int group = 0; group < 16; group++) {
            if (group >= 4)
                next_words(words, group);
            __m128i sum = _mm_add_epi32(words[group & 3],
                                        _mm_loadu_si128((const void *)(constants + group * 4)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    low = _mm_shuffle_epi32(abef, 0x1b);
    high = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((void *)state, _mm_blend_epi16(low, high, 0xf0));
    _mm_storeu_si128((void *)(state + 4), _mm_alignr_epi8(high, low, 8));
}

#else

#include <stdlib.h>

bool sha256_is_fast(void)
{
    return false;
}

void sha256_take_blocks(uint32_t state[8], const uint8_t *data, size_t count)
{
    (void)state;
    (void)data;
    (void)count;
    abort(); /* not without sha256_is_fast() */
}

#endif
