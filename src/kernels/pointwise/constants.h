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

// erf(|x|): s = min(4 |x|, kErfLargest), i = round(s) by adding 1.5 * 2^23, t = s - i, then a polynomial in t
// whose coefficient of t^p is kErf[p][i]. Sixteen intervals, because that many floats are one register.
// Beyond, erf is 1 to 4.4e-8.
inline constexpr float kErfScale = 4.0f, kErfLargest = 15.49f;
alignas(64) inline constexpr float kErf[6][16] = {
    {0.000000000e+00f, 2.763263854e-01f, 5.204998719e-01f, 7.111556305e-01f, 8.427007935e-01f,
     9.229001308e-01f, 9.661051488e-01f, 9.866716723e-01f, 9.953222651e-01f, 9.985372831e-01f,
     9.995930476e-01f, 9.998993779e-01f, 9.999779094e-01f, 9.999956972e-01f, 9.999992569e-01f,
     9.999998863e-01f},
    {2.820947890e-01f, 2.650035295e-01f, 2.196956457e-01f, 1.607327706e-01f, 1.037768770e-01f,
     5.913028126e-02f, 2.973257147e-02f, 1.319374790e-02f, 5.166745777e-03f, 1.785579634e-03f,
     5.445711531e-04f, 1.465694269e-04f, 3.481333292e-05f, 7.297286903e-06f, 1.349867194e-06f,
     2.203624576e-07f},
    {0.000000000e+00f, -1.656237513e-02f, -2.746152833e-02f, -3.013716392e-02f, -2.594425643e-02f,
     -1.847839424e-02f, -1.114987995e-02f, -5.772342211e-03f, -2.583377208e-03f, -1.004363910e-03f,
     -3.403329515e-04f, -1.007521610e-04f, -2.610358559e-05f, -5.926742276e-06f, -1.180450299e-06f,
     -2.064247642e-07f},
    {-5.876885643e-03f, -4.830720728e-03f, -2.288520491e-03f, 4.184919859e-04f, 2.161950854e-03f,
     2.617730271e-03f, 2.168021319e-03f, 1.408734893e-03f, 7.534986229e-04f, 3.394492336e-04f,
     1.304677254e-04f, 4.312815652e-05f, 1.232792612e-05f, 3.058753135e-06f, 6.606016233e-07f,
     1.244180862e-07f},
    {0.000000000e+00f, 4.923251908e-04f, 7.105909854e-04f, 5.861654485e-04f, 2.706635722e-04f,
     -2.211984510e-05f, -1.724490816e-04f, -1.870776580e-04f, -1.345069527e-04f, -7.480863228e-05f,
     -3.393690302e-05f, -1.287887665e-05f, -4.147469177e-06f, -1.143672878e-06f, -2.716971364e-07f,
     -5.581326393e-08f},
    {1.094787458e-04f, 7.768548321e-05f, 7.315024129e-06f, -5.143508381e-05f, -6.710465139e-05f,
     -4.596402184e-05f, -1.466143863e-05f, 6.284831348e-06f, 1.268060881e-05f, 1.038719006e-05f,
     5.990356285e-06f, 2.710886231e-06f, 1.004650753e-06f, 3.116481803e-07f, 8.197816080e-08f,
     1.857628227e-08f}};
// gelu: kErfScale / sqrt 2.
inline constexpr float kGeluErfScale = 2.82842712f;
// 2^t on |t| <= 1/2, degree 3, relative error 7.5e-5: for probabilities kept in eight bits (attention_i8).
inline constexpr float kExp2C[4] = {9.999280736e-01f, 6.932609862e-01f, 2.426111219e-01f, 5.517166492e-02f};
// gelu_tanh: sqrt(2 / pi) and the cubic coefficient of Hendrycks & Gimpel 2016.
inline constexpr float kGeluScale = 0.797884561f, kGeluCubic = 0.044715f;

}  // namespace penjing::pointwise
