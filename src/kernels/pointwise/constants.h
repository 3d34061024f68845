#pragma once

#include <cstdint>

// Constants of the elementwise programs, fitted by tools/fit_polynomials.py. Shared by every instruction set
// and by the plain reference, whose order of operations is the definition.
namespace penjing::pointwise {

// exp: n = round(x / ln 2) by adding 1.5 * 2^23; r = x - n ln 2 in two parts; 1 + r + r^2 E(r); n into the
// exponent.
inline constexpr float kLog2E = 1.44269504f, kRoundMagic = 12582912.0f;
inline constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
inline constexpr float kExpE[5] = {4.999999341e-01f, 1.666652011e-01f, 4.166839422e-02f, 8.368780429e-03f,
                                   1.381446674e-03f};
// Below ln(2^-126) the result would be subnormal: it is 0. Above ln(FLT_MAX) it is infinity.
inline constexpr float kExpMin = -87.33654f, kExpMax = 88.72283f;

// erf: |x| < 1: x P(x^2); else sign(x) (1 - exp(G(min(|x|, 4)))).
inline constexpr float kErfP[7] = {1.128379166e+00f, -3.761262583e-01f, 1.128358518e-01f, -2.685381310e-02f,
                                   5.188329603e-03f, -8.010208804e-04f, 7.853907649e-05f};
inline constexpr float kErfG[9] = {2.043581195e-04f,  -1.129661148e+00f, -6.330396334e-01f,
                                   -1.086389716e-01f, 2.537353550e-02f,  -4.282372798e-03f,
                                   4.637850982e-04f,  -2.531432260e-05f, 2.512920151e-07f};
inline constexpr float kSqrtHalf = 0.707106781f;
// gelu_tanh: sqrt(2 / pi) and the cubic coefficient of Hendrycks & Gimpel 2016.
inline constexpr float kGeluScale = 0.797884561f, kGeluCubic = 0.044715f;

}  // namespace penjing::pointwise
