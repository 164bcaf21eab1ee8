-- One row per household that shopped in the last 91 days: how often, how lately, how much, in which rhythm.
-- One pass without a sort: gaps between neighbouring days would need a window function, which trebled the time of the
-- query on a million households and added nothing to the ranking. All counts are of whole numbers and all money is
-- rounded to cents before it is divided, so the order of the rows changes no digit.
WITH
  shopping AS (
    -- `ago` counts local days back from $as_of: 1 is the day that has just ended, so 1 to 7 is the last week.
    SELECT *, date_diff('day', day, CAST($as_of AS DATE)) AS ago
    FROM household_days
  ),
  totals AS (
    SELECT
      household_id,
      min(ago) AS last_ago,
      max(ago) AS first_ago,
      count(day) AS days,
      count(day) FILTER (WHERE ago <= 7) AS days_7d,
      count(day) FILTER (WHERE ago <= 28) AS days_28d,
      sum(92 - ago) AS weighted_days,
      -- One bit per week with a purchase, the last week lowest.
      bit_or(1 << CAST(floor((ago - 1) / 7) AS INTEGER)) AS weeks,
      -- Shopping days on each weekday; 1 is the weekday of the day that has just ended.
      count(day) FILTER (WHERE ago % 7 = 0) AS weekday_0,
      count(day) FILTER (WHERE ago % 7 = 1) AS weekday_1,
      count(day) FILTER (WHERE ago % 7 = 2) AS weekday_2,
      count(day) FILTER (WHERE ago % 7 = 3) AS weekday_3,
      count(day) FILTER (WHERE ago % 7 = 4) AS weekday_4,
      count(day) FILTER (WHERE ago % 7 = 5) AS weekday_5,
      count(day) FILTER (WHERE ago % 7 = 6) AS weekday_6,
      sum(baskets) AS baskets,
      sum(CASE WHEN ago <= 28 THEN baskets ELSE 0 END) AS baskets_28d,
      sum(morning_baskets) AS morning_baskets,
      sum(evening_baskets) AS evening_baskets,
      sum(items) AS items,
      sum(departments) AS departments,
      sum(coupons_redeemed) AS coupons_redeemed,
      max(largest_basket) AS largest_basket,
      round(sum(spend), 2) AS spend,
      round(sum(CASE WHEN ago <= 28 THEN spend ELSE 0 END), 2) AS spend_28d,
      round(sum(CASE WHEN ago <= 7 THEN spend ELSE 0 END), 2) AS spend_7d,
      round(sum(retail_discount), 2) AS retail_discount,
      round(sum(coupon_discount), 2) AS coupon_discount,
      round(sum(private_label_spend), 2) AS private_label,
      round(sum(fuel_spend), 2) AS fuel,
      round(sum(grocery_spend), 2) AS grocery,
      round(sum(drugstore_spend), 2) AS drugstore,
      round(sum(produce_spend), 2) AS produce,
      round(sum(meat_spend), 2) AS meat,
      round(sum(deli_spend), 2) AS deli
    FROM shopping
    GROUP BY household_id
  ),
  exposure AS (
    SELECT
      household_id,
      count(campaign_id) AS addressed,
      count(campaign_id) FILTER (WHERE last_day >= CAST($as_of AS DATE)) AS active,
      max(starts_at) AS newest_start,
      max(last_day) AS last_day
    FROM household_campaigns
    WHERE starts_at < $as_of
    GROUP BY household_id
  )
SELECT
  totals.household_id,
  CAST(last_ago AS INTEGER) AS days_since_last_purchase,
  CAST(first_ago AS INTEGER) AS days_since_first_purchase_91d,
  CAST(days_7d AS INTEGER) AS shopping_days_7d,
  CAST(days_28d AS INTEGER) AS shopping_days_28d,
  CAST(days AS INTEGER) AS shopping_days_91d,
  CAST(weighted_days AS INTEGER) AS shopping_days_weighted_91d,
  days_28d / 28 - days / 91 AS shopping_days_trend,
  CAST(bit_count(weeks & 15) AS INTEGER) AS shopping_weeks_28d,
  CAST(bit_count(weeks) AS INTEGER) AS shopping_weeks_91d,
  (first_ago - last_ago) / nullif(days - 1, 0) AS mean_gap_91d,
  -- Above 1 when the household has stayed away for longer than it usually does.
  last_ago * (days - 1) / nullif(first_ago - last_ago, 0) AS overdue_ratio_91d,
  greatest(weekday_0, weekday_1, weekday_2, weekday_3, weekday_4, weekday_5, weekday_6) / days
    AS favourite_weekday_share_91d,
  CAST(baskets_28d AS INTEGER) AS baskets_28d,
  CAST(baskets AS INTEGER) AS baskets_91d,
  morning_baskets / baskets AS morning_share_91d,
  evening_baskets / baskets AS evening_share_91d,
  items / baskets AS items_per_basket_91d,
  departments / days AS departments_per_day_91d,
  spend_7d,
  spend_28d,
  spend AS spend_91d,
  spend / baskets AS spend_per_basket_91d,
  largest_basket AS largest_basket_91d,
  retail_discount / nullif(spend + retail_discount, 0) AS discount_rate_91d,
  coupon_discount AS coupon_discount_91d,
  CAST(coupons_redeemed AS INTEGER) AS coupons_redeemed_91d,
  private_label / nullif(spend, 0) AS private_label_share_91d,
  fuel / nullif(spend, 0) AS fuel_share_91d,
  drugstore / nullif(spend, 0) AS drugstore_share_91d,
  produce / nullif(spend, 0) AS produce_share_91d,
  meat / nullif(spend, 0) AS meat_share_91d,
  CAST(
    CASE WHEN fuel > 0 THEN 1 ELSE 0 END + CASE WHEN grocery > 0 THEN 1 ELSE 0 END
    + CASE WHEN drugstore > 0 THEN 1 ELSE 0 END + CASE WHEN produce > 0 THEN 1 ELSE 0 END
    + CASE WHEN meat > 0 THEN 1 ELSE 0 END + CASE WHEN deli > 0 THEN 1 ELSE 0 END AS INTEGER
  ) AS category_breadth_91d,
  CAST(coalesce(addressed, 0) AS INTEGER) AS campaigns_addressed,
  CAST(coalesce(active, 0) AS INTEGER) AS campaigns_active,
  CAST(date_diff('day', CAST(newest_start AS DATE), CAST($as_of AS DATE)) AS INTEGER) AS days_since_campaign_start,
  CAST(date_diff('day', CAST($as_of AS DATE), last_day) AS INTEGER) AS days_until_campaign_end,
  age_years,
  income_thousands,
  persons,
  kids
FROM totals
LEFT JOIN exposure ON exposure.household_id = totals.household_id
LEFT JOIN households ON households.household_id = totals.household_id
