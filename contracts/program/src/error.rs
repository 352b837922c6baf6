//! Every reason for which the program refuses, numbered from 6000 in the order of the IDL, which says them in words.

use pinocchio::error::ProgramError;

/// Anchor's tools take custom errors from here on.
pub const FIRST_CODE: u32 = 6000;

macro_rules! errors {
    ($($name:ident),* $(,)?) => {
        /// Why an instruction is refused.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[repr(u32)]
        pub enum Error {
            $($name),*
        }

        impl Error {
            /// All of them, in order.
            pub const ALL: &'static [(&'static str, Error)] = &[$((stringify!($name), Error::$name)),*];
        }
    };
}

errors! {
    UnknownInstruction,
    MalformedInstruction,
    MissingAccount,
    DuplicateAccount,
    MissingSignature,
    NotWritable,
    WrongProgram,
    WrongSysvar,
    WrongOwner,
    WrongDiscriminator,
    WrongAddress,
    WrongMarket,
    AlreadyExists,
    WrongAdmin,
    WrongArbiter,
    WrongAuthority,
    WrongRole,
    UnknownRole,
    WeakKey,
    AlreadyRevoked,
    WrongNetworkId,
    WrongName,
    FeeTooHigh,
    SettleWindowOutOfBounds,
    WithdrawDelayTooShort,
    Paused,
    WrongMint,
    WrongTokenAccount,
    WrongVault,
    WrongPayout,
    WrongFeeAccount,
    ZeroAmount,
    NoWithdrawal,
    WithdrawalTooEarly,
    NoSignatureInstruction,
    MalformedSignatureInstruction,
    MalformedRecord,
    WrongRecordType,
    WrongNetwork,
    WrongSigner,
    WrongRecipient,
    WrongDevice,
    WrongLot,
    MessageTooOld,
    MessageTooNew,
    Revoked,
    SelfTrade,
    PriceOutOfRange,
    EnergyOutOfRange,
    AmountTooSmall,
    EscrowTooShort,
    EscrowCanPay,
    AlreadySettled,
    OtherRecord,
    WrongStatus,
    ReleaseTooEarly,
    DisputeTooLate,
    WrongTermination,
    CloseTooEarly,
    WrongPayer,
    Overflow,
    UnknownRentRule,
}

impl Error {
    /// The number that the chain reports.
    pub const fn code(self) -> u32 {
        FIRST_CODE + self as u32
    }
}

impl From<Error> for ProgramError {
    fn from(error: Error) -> Self {
        ProgramError::Custom(error.code())
    }
}

/// `Err(error)` unless the condition holds.
pub fn require(condition: bool, error: Error) -> Result<(), Error> {
    if condition {
        Ok(())
    } else {
        Err(error)
    }
}
